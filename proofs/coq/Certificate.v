(** * The certificate checker, and the proof that what it accepts is true

    The same checker as [proofs/checker/certificate.py], written so that it can be proved: a certificate that
    [refutes] accepts leaves no assignment of real numbers that satisfies the box, the whole-number variables, the
    products and the facts of its problem.

    Positions (of variables, linear facts and disjunctions) are of type [nat], numbers of type [Z]. Terms are sparse:
    pairs of position and coefficient, positions ascending; the proof does not need them to ascend. *)
Require Import ZArith Reals List Lia Lra Bool.
Import ListNotations.
Open Scope Z_scope.

(** ** Linear forms *)

Definition valuation := nat -> R.
Definition terms := list (nat * Z).

Fixpoint dot (ts : terms) (x : valuation) : R :=
  match ts with
  | [] => 0%R
  | (i, a) :: r => (IZR a * x i + dot r x)%R
  end.

Definition put (i : nat) (a : Z) (ts : terms) : terms := if a =? 0 then ts else (i, a) :: ts.

Fixpoint plus (u : terms) : terms -> terms :=
  match u with
  | [] => fun v => v
  | (i, a) :: u' =>
      fix go (v : terms) : terms :=
        match v with
        | [] => (i, a) :: u'
        | (j, b) :: v' =>
            match Nat.compare i j with
            | Lt => (i, a) :: plus u' v
            | Eq => put i (a + b) (plus u' v')
            | Gt => (j, b) :: go v'
            end
        end
  end.

Definition scale (k : Z) (ts : terms) : terms :=
  if k =? 0 then [] else map (fun t => (fst t, k * snd t)) ts.

Definition opposite (ts : terms) : terms := map (fun t => (fst t, - snd t)) ts.

Lemma dot_put : forall i a ts x, dot (put i a ts) x = (IZR a * x i + dot ts x)%R.
Proof.
  intros i a ts x. unfold put. destruct (Z.eqb_spec a 0) as [->|]; cbn [dot]; lra.
Qed.

Lemma dot_plus : forall u v x, dot (plus u v) x = (dot u x + dot v x)%R.
Proof.
  induction u as [|[i a] u IH]; intros v x; [cbn; lra|].
  induction v as [|[j b] v IHv]; cbn [plus dot]; [lra|].
  destruct (Nat.compare_spec i j) as [->|H|H].
  - rewrite dot_put, IH, plus_IZR. lra.
  - cbn [dot]. rewrite IH. cbn [dot]. lra.
  - cbn [dot]. cbn [plus dot] in IHv. rewrite IHv. lra.
Qed.

Lemma dot_scale : forall k ts x, dot (scale k ts) x = (IZR k * dot ts x)%R.
Proof.
  intros k ts x. unfold scale. destruct (Z.eqb_spec k 0) as [->|_]; [cbn; lra|].
  induction ts as [|[i a] ts IH]; cbn [map dot fst snd]; [lra|]. rewrite IH, mult_IZR. lra.
Qed.

Lemma dot_opposite : forall ts x, dot (opposite ts) x = (- dot ts x)%R.
Proof.
  unfold opposite. induction ts as [|[i a] ts IH]; intros x; cbn [map dot fst snd]; [lra|]. rewrite IH, opp_IZR. lra.
Qed.

(** ** Facts *)

Record row := Row { left : terms; right : Z; strict : bool }.

Definition sat_row (c : row) (x : valuation) : Prop :=
  if strict c then (dot (left c) x < IZR (right c))%R else (dot (left c) x <= IZR (right c))%R.

Lemma sat_weak : forall c x, sat_row c x -> (dot (left c) x <= IZR (right c))%R.
Proof. intros c x H. unfold sat_row in H. destruct (strict c); lra. Qed.

Inductive fact := L (c : row) | A (fs : list fact) | O (fs : list fact).

Fixpoint sat (f : fact) (x : valuation) : Prop :=
  match f with
  | L c => sat_row c x
  | A fs => fold_right (fun g P => sat g x /\ P) True fs
  | O fs => fold_right (fun g P => sat g x \/ P) False fs
  end.

(** ** Boxes *)

Definition ends := (option Z * option Z)%type.
Definition box := list ends.

Definition inside (e : ends) (v : R) : Prop :=
  (match fst e with Some l => (IZR l <= v)%R | None => True end) /\
  (match snd e with Some h => (v <= IZR h)%R | None => True end).

Definition in_box (b : box) (x : valuation) : Prop :=
  forall i e, nth_error b i = Some e -> inside e (x i).

(** The least value of a linear form over a box, where it has one. *)
Fixpoint least (ts : terms) (b : box) : option Z :=
  match ts with
  | [] => Some 0
  | (i, a) :: r =>
      match nth_error b i, least r b with
      | Some e, Some m =>
          match (if 0 <? a then fst e else snd e) with
          | Some v => Some (a * v + m)
          | None => None
          end
      | _, _ => None
      end
  end.

Lemma least_sound : forall ts b x m, in_box b x -> least ts b = Some m -> (IZR m <= dot ts x)%R.
Proof.
  induction ts as [|[i a] ts IH]; intros b x m Hb Hm; cbn [least dot] in *.
  - inversion Hm; subst. lra.
  - destruct (nth_error b i) as [[lo hi]|] eqn:E; [|discriminate].
    destruct (least ts b) as [m'|] eqn:El; [|discriminate].
    specialize (IH b x m' Hb El). destruct (Hb i _ E) as [Hl Hh]. cbn [fst snd] in *.
    destruct (Z.ltb_spec 0 a) as [Hp|Hn].
    + destruct lo as [l|]; [|discriminate]. inversion Hm; subst m. rewrite plus_IZR, mult_IZR.
      apply IZR_lt in Hp. assert (IZR a * IZR l <= IZR a * x i)%R by (apply Rmult_le_compat_l; lra). lra.
    + destruct hi as [h|]; [|discriminate]. inversion Hm; subst m. rewrite plus_IZR, mult_IZR.
      assert (Ha : (IZR a <= 0)%R) by (apply IZR_le; lia).
      assert (IZR a * IZR h <= IZR a * x i)%R by (apply Rmult_le_compat_neg_l; lra). lra.
Qed.

Fixpoint set_ends (b : box) (i : nat) (f : ends -> ends) : box :=
  match b, i with
  | [], _ => []
  | e :: r, 0%nat => f e :: r
  | e :: r, S j => e :: set_ends r j f
  end.

Lemma set_ends_sound : forall b i f x, in_box b x ->
  (forall e, nth_error b i = Some e -> inside e (x i) -> inside (f e) (x i)) -> in_box (set_ends b i f) x.
Proof.
  unfold in_box. induction b as [|e b IH]; intros i f x Hb Hf j e' E.
  - destruct i; cbn in E; destruct j; discriminate.
  - destruct i as [|i]; cbn [set_ends] in E; destruct j as [|j]; cbn in E.
    + inversion E; subst. apply Hf; [reflexivity|]. apply (Hb 0%nat); reflexivity.
    + apply (Hb (S j)); exact E.
    + inversion E; subst. apply (Hb 0%nat); reflexivity.
    + refine (IH i f (fun k => x (S k)) _ _ j e' E); [|exact Hf].
      intros k e0 E0. apply (Hb (S k)); exact E0.
Qed.

Definition at_most (c : Z) (e : ends) : ends :=
  (fst e, Some (match snd e with None => c | Some h => Z.min c h end)).
Definition at_least (c : Z) (e : ends) : ends :=
  (Some (match fst e with None => c | Some l => Z.max c l end), snd e).

Definition empty (b : box) : bool :=
  existsb (fun e => match e with (Some l, Some h) => h <? l | _ => false end) b.

Lemma empty_sound : forall b x, empty b = true -> in_box b x -> False.
Proof.
  intros b x H Hb. unfold empty in H. apply existsb_exists in H. destruct H as [[[l|] [h|]] [Hi H]]; try discriminate.
  apply In_nth_error in Hi. destruct Hi as [i Hi]. destruct (Hb i _ Hi) as [Hl Hh]. cbn in Hl, Hh.
  apply Z.ltb_lt, IZR_lt in H. lra.
Qed.

(** ** Leaves: a weighted sum of linear facts that the box beats *)

Fixpoint weighted (ms : list (nat * Z)) (ls : list row) : option row :=
  match ms with
  | [] => Some (Row [] 0 false)
  | (k, m) :: r =>
      match nth_error ls k, weighted r ls with
      | Some c, Some s =>
          if 0 <? m
          then Some (Row (plus (scale m (left c)) (left s)) (m * right c + right s) (strict c || strict s))
          else None
      | _, _ => None
      end
  end.

Definition all_rows (ls : list row) (x : valuation) := forall c, In c ls -> sat_row c x.

Lemma weighted_sound : forall ms ls x c, all_rows ls x -> weighted ms ls = Some c -> sat_row c x.
Proof.
  induction ms as [|[k m] r IH]; intros ls x c H E; cbn [weighted] in E.
  - inversion E; subst. unfold sat_row; cbn. lra.
  - destruct (nth_error ls k) as [d|] eqn:En; [|discriminate].
    destruct (weighted r ls) as [s|] eqn:Er; [|discriminate].
    destruct (Z.ltb_spec 0 m) as [Hm|]; [|discriminate]. inversion E; subst c; clear E.
    assert (Hd := H d (nth_error_In _ _ En)). assert (Hs := IH ls x s H Er).
    assert (Wd := sat_weak d x Hd). assert (Ws := sat_weak s x Hs). apply IZR_lt in Hm.
    unfold sat_row in *; cbn [left right strict]. rewrite dot_plus, dot_scale, plus_IZR, mult_IZR.
    destruct (strict d) eqn:Sd; cbn [orb].
    + assert (IZR m * dot (left d) x < IZR m * IZR (right d))%R by (apply Rmult_lt_compat_l; lra). lra.
    + assert (IZR m * dot (left d) x <= IZR m * IZR (right d))%R by (apply Rmult_le_compat_l; lra).
      destruct (strict s); lra.
Qed.

Definition leaf (ms : list (nat * Z)) (ls : list row) (b : box) : bool :=
  match weighted ms ls with
  | None => false
  | Some c =>
      match least (left c) b with
      | None => false
      | Some m => (right c <? m) || (strict c && (right c =? m))
      end
  end.

Lemma leaf_sound : forall ms ls b x, leaf ms ls b = true -> in_box b x -> all_rows ls x -> False.
Proof.
  unfold leaf. intros ms ls b x H Hb Hs.
  destruct (weighted ms ls) as [c|] eqn:E; [|discriminate].
  destruct (least (left c) b) as [m|] eqn:El; [|discriminate].
  assert (Hc := weighted_sound _ _ _ _ Hs E). assert (Hl := least_sound _ _ _ _ Hb El).
  assert (Hw := sat_weak _ _ Hc). apply orb_true_iff in H. destruct H as [H|H].
  - apply Z.ltb_lt, IZR_lt in H. lra.
  - apply andb_true_iff in H. destruct H as [Hst He]. apply Z.eqb_eq in He. subst m.
    unfold sat_row in Hc. rewrite Hst in Hc. lra.
Qed.

(** ** Products of linear facts *)

Definition products := list (nat * nat * nat).
(** [(w, i, j)]: variable [w] is the product of variables [i] and [j], [i <= j]. *)

Definition hold_products (ps : products) (x : valuation) : Prop :=
  forall w i j, In (w, i, j) ps -> (x w = x i * x j)%R.

Fixpoint find_product (ps : products) (i j : nat) : option nat :=
  match ps with
  | [] => None
  | (w, a, b) :: r =>
      if (Nat.eqb a i && Nat.eqb b j) || (Nat.eqb a j && Nat.eqb b i) then Some w else find_product r i j
  end.

Lemma find_product_sound : forall ps x i j w,
  hold_products ps x -> find_product ps i j = Some w -> (x w = x i * x j)%R.
Proof.
  induction ps as [|[[v a] b] ps IH]; intros x i j w H E; cbn [find_product] in E; [discriminate|].
  destruct ((Nat.eqb a i && Nat.eqb b j) || (Nat.eqb a j && Nat.eqb b i)) eqn:T.
  - inversion E; subst w. assert (Hv := H v a b (or_introl eq_refl)).
    apply orb_true_iff in T. destruct T as [T|T]; apply andb_true_iff in T; destruct T as [T1 T2];
      apply Nat.eqb_eq in T1; apply Nat.eqb_eq in T2; subst; lra.
  - apply (IH x i j w); [|exact E]. intros w' i' j' Hi. apply H. right. exact Hi.
Qed.

(** [- (i, a) * v] and [- u * v] over the product variables. *)
Fixpoint cross_one (ps : products) (i : nat) (a : Z) (v : terms) : option terms :=
  match v with
  | [] => Some []
  | (j, c) :: r =>
      match find_product ps i j, cross_one ps i a r with
      | Some w, Some s => Some (plus [(w, - a * c)] s)
      | _, _ => None
      end
  end.

Fixpoint cross (ps : products) (u v : terms) : option terms :=
  match u with
  | [] => Some []
  | (i, a) :: r =>
      match cross_one ps i a v, cross ps r v with
      | Some s, Some t => Some (plus s t)
      | _, _ => None
      end
  end.

Lemma cross_one_sound : forall ps x i a v s, hold_products ps x -> cross_one ps i a v = Some s ->
  dot s x = (- (IZR a * x i) * dot v x)%R.
Proof.
  intros ps x i a v. induction v as [|[j c] v IH]; intros s H E; cbn [cross_one] in E.
  - inversion E; subst. cbn. lra.
  - destruct (find_product ps i j) as [w|] eqn:Ew; [|discriminate].
    destruct (cross_one ps i a v) as [s'|] eqn:Es; [|discriminate].
    assert (Hs : s = plus [(w, - a * c)] s') by congruence. subst s; clear E.
    rewrite dot_plus, (IH s' H eq_refl). cbn [dot]. rewrite (find_product_sound _ _ _ _ _ H Ew), mult_IZR, opp_IZR.
    lra.
Qed.

Lemma cross_sound : forall ps x u v s, hold_products ps x -> cross ps u v = Some s ->
  dot s x = (- dot u x * dot v x)%R.
Proof.
  intros ps x u v. induction u as [|[i a] u IH]; intros s H E; cbn [cross] in E.
  - inversion E; subst. cbn. lra.
  - destruct (cross_one ps i a v) as [s1|] eqn:E1; [|discriminate].
    destruct (cross ps u v) as [s2|] eqn:E2; [|discriminate]. inversion E; subst s; clear E.
    rewrite dot_plus, (cross_one_sound _ _ _ _ _ _ H E1), (IH s2 H eq_refl). cbn [dot]. lra.
Qed.

Definition limit := 2 ^ 4096.
Definition bearable (v : Z) : bool := Z.abs v <? limit.

(** [(b1 - u) * (b2 - v) >= 0], written as a row. *)
Definition product (ps : products) (c d : row) : option row :=
  match cross ps (left c) (left d) with
  | None => None
  | Some s =>
      let ts := plus (plus (scale (right d) (left c)) (scale (right c) (left d))) s in
      let b := right c * right d in
      if forallb (fun t => bearable (snd t)) ts && bearable b then Some (Row ts b (strict c && strict d)) else None
  end.

Lemma product_sound : forall ps x c d e, hold_products ps x -> sat_row c x -> sat_row d x ->
  product ps c d = Some e -> sat_row e x.
Proof.
  intros ps x c d e H Hc Hd E. unfold product in E.
  destruct (cross ps (left c) (left d)) as [s|] eqn:Es; [|discriminate].
  destruct (forallb _ _ && bearable (right c * right d)); [|discriminate]. inversion E; subst e; clear E.
  unfold sat_row at 1; cbn [left right strict].
  rewrite !dot_plus, !dot_scale, (cross_sound _ _ _ _ _ H Es), mult_IZR.
  assert (Wc := sat_weak c x Hc). assert (Wd := sat_weak d x Hd).
  destruct (strict c) eqn:Sc; destruct (strict d) eqn:Sd; cbn [andb];
    unfold sat_row in Hc, Hd; rewrite Sc in Hc; rewrite Sd in Hd.
  - assert (0 < (IZR (right c) - dot (left c) x) * (IZR (right d) - dot (left d) x))%R
      by (apply Rmult_lt_0_compat; lra). lra.
  - assert (0 <= (IZR (right c) - dot (left c) x) * (IZR (right d) - dot (left d) x))%R
      by (apply Rmult_le_pos; lra). lra.
  - assert (0 <= (IZR (right c) - dot (left c) x) * (IZR (right d) - dot (left d) x))%R
      by (apply Rmult_le_pos; lra). lra.
  - assert (0 <= (IZR (right c) - dot (left c) x) * (IZR (right d) - dot (left d) x))%R
      by (apply Rmult_le_pos; lra). lra.
Qed.

Definition positions := 100000.

(** A factor: linear fact [k], or for [k < 0] the lower ([-1 - 2v]) or upper ([-2 - 2v]) bound of variable [v]. *)
Definition operand (k : Z) (ls : list row) (b : box) : option row :=
  if (k <? -2 * positions) || (positions <=? k) then None
  else if 0 <=? k then nth_error ls (Z.to_nat k)
  else
    let q := -1 - k in
    match nth_error b (Z.to_nat (q / 2)) with
    | None => None
    | Some e =>
        if q mod 2 =? 0
        then match fst e with Some l => Some (Row [(Z.to_nat (q / 2), -1)] (- l) false) | None => None end
        else match snd e with Some h => Some (Row [(Z.to_nat (q / 2), 1)] h false) | None => None end
    end.

Lemma operand_sound : forall k ls b x c, in_box b x -> all_rows ls x -> operand k ls b = Some c -> sat_row c x.
Proof.
  intros k ls b x c Hb Hl E. unfold operand in E.
  destruct ((k <? -2 * positions) || (positions <=? k)); [discriminate|].
  destruct (0 <=? k); [apply Hl; eapply nth_error_In; exact E|].
  destruct (nth_error b (Z.to_nat ((-1 - k) / 2))) as [[lo hi]|] eqn:En; [|discriminate].
  destruct (Hb _ _ En) as [Il Ih]. cbn [fst snd] in *.
  destruct ((-1 - k) mod 2 =? 0).
  - destruct lo as [l|]; [|discriminate]. inversion E; subst c. unfold sat_row; cbn [left right strict dot].
    rewrite opp_IZR. cbn in Il |- *. lra.
  - destruct hi as [h|]; [|discriminate]. inversion E; subst c. unfold sat_row; cbn [left right strict dot].
    cbn in Ih |- *. lra.
Qed.

(** ** Certificates *)

Inductive tree :=
  | F (ms : list (nat * Z))                       (* leaf *)
  | Sp (k : nat) (ts : list tree)                 (* one tree for each member of disjunction k *)
  | I (i : nat) (c : Z) (below above : tree)      (* x[i] <= c, or x[i] >= c + 1 *)
  | C (ts : terms) (b : Z) (below above : tree)   (* terms <= b, or terms > b *)
  | P (i j : Z) (t : tree)                        (* the product of two factors joins *)
  | X.                                            (* the box is empty *)

(** What a fact adds to the linear facts and to the disjunctions, conjunctions opened. *)
Fixpoint assume (f : fact) : list row * list (list fact) :=
  match f with
  | L c => ([c], [])
  | A fs => fold_right (fun g acc => (fst (assume g) ++ fst acc, snd (assume g) ++ snd acc)) ([], []) fs
  | O fs => ([], [fs])
  end.

Section Problem.
Variable whole : nat -> bool.
Variable ps : products.

Fixpoint check (t : tree) (ls : list row) (ds : list (list fact)) (b : box) : bool :=
  match t with
  | F ms => leaf ms ls b
  | Sp k ts =>
      match nth_error ds k with
      | None => false
      | Some members =>
          (fix go (ts : list tree) (fs : list fact) : bool :=
             match ts, fs with
             | [], [] => true
             | u :: ts', f :: fs' => check u (ls ++ fst (assume f)) (ds ++ snd (assume f)) b && go ts' fs'
             | _, _ => false
             end) ts members
      end
  | I i c t1 t2 =>
      whole i && check t1 ls ds (set_ends b i (at_most c)) && check t2 ls ds (set_ends b i (at_least (c + 1)))
  | C ts c t1 t2 =>
      check t1 (ls ++ [Row ts c false]) ds b && check t2 (ls ++ [Row (opposite ts) (- c) true]) ds b
  | P i j u =>
      match operand i ls b, operand j ls b with
      | Some c, Some d =>
          match product ps c d with
          | Some e => check u (ls ++ [e]) ds b
          | None => false
          end
      | _, _ => false
      end
  | X => empty b
  end.
End Problem.

(** Induction that sees through the lists inside facts and trees. *)
Section FactInduction.
  Variable Q : fact -> Prop.
  Hypothesis HL : forall c, Q (L c).
  Hypothesis HA : forall fs, Forall Q fs -> Q (A fs).
  Hypothesis HO : forall fs, Forall Q fs -> Q (O fs).
  Fixpoint fact_induction (f : fact) : Q f :=
    let all := fix go l : Forall Q l :=
      match l with [] => Forall_nil _ | g :: r => Forall_cons _ (fact_induction g) (go r) end in
    match f with
    | L c => HL c
    | A fs => HA fs (all fs)
    | O fs => HO fs (all fs)
    end.
End FactInduction.

Section TreeInduction.
  Variable Q : tree -> Prop.
  Hypothesis HF : forall ms, Q (F ms).
  Hypothesis HS : forall k ts, Forall Q ts -> Q (Sp k ts).
  Hypothesis HI : forall i c t u, Q t -> Q u -> Q (I i c t u).
  Hypothesis HC : forall ts b t u, Q t -> Q u -> Q (C ts b t u).
  Hypothesis HP : forall i j t, Q t -> Q (P i j t).
  Hypothesis HX : Q X.
  Fixpoint tree_induction (t : tree) : Q t :=
    match t with
    | F ms => HF ms
    | Sp k ts => HS k ts ((fix go l : Forall Q l :=
        match l with [] => Forall_nil _ | g :: r => Forall_cons _ (tree_induction g) (go r) end) ts)
    | I i c t u => HI i c t u (tree_induction t) (tree_induction u)
    | C ts b t u => HC ts b t u (tree_induction t) (tree_induction u)
    | P i j t => HP i j t (tree_induction t)
    | X => HX
    end.
End TreeInduction.

Definition all_choices (ds : list (list fact)) (x : valuation) := forall fs, In fs ds -> sat (O fs) x.

Lemma assume_sound : forall f x, sat f x -> all_rows (fst (assume f)) x /\ all_choices (snd (assume f)) x.
Proof.
  intros f x. induction f as [c|fs IH|fs IH] using fact_induction; intros H.
  - split; intros d Hd; cbn in Hd; [destruct Hd as [<-|[]]; exact H|destruct Hd].
  - cbn [assume]. cbn [sat] in H. induction fs as [|g r IHr]; cbn [fold_right] in *; [split; intros d []|].
    inversion IH as [|? ? Pg Pr]; subst. destruct H as [Hg Hr]. specialize (Pg Hg). specialize (IHr Pr Hr).
    destruct Pg as [P1 P2]. destruct IHr as [Q1 Q2].
    split; intros z Hz; apply in_app_or in Hz; destruct Hz as [Hz|Hz]; auto.
  - split; intros d Hd; cbn in Hd; [destruct Hd|destruct Hd as [<-|[]]; exact H].
Qed.

Lemma rows_app : forall l m x, all_rows l x -> all_rows m x -> all_rows (l ++ m) x.
Proof. intros l m x H K c Hc. apply in_app_or in Hc. destruct Hc; auto. Qed.

Lemma rows_one : forall l c x, all_rows l x -> sat_row c x -> all_rows (l ++ [c]) x.
Proof. intros l c x H K. apply rows_app; [exact H|]. intros d [<-|[]]. exact K. Qed.

Lemma choices_app : forall l m x, all_choices l x -> all_choices m x -> all_choices (l ++ m) x.
Proof. intros l m x H K c Hc. apply in_app_or in Hc. destruct Hc; auto. Qed.

Theorem check_sound : forall whole ps t ls ds b x,
  check whole ps t ls ds b = true ->
  (forall i, whole i = true -> exists z, x i = IZR z) ->
  hold_products ps x -> in_box b x -> all_rows ls x -> all_choices ds x -> False.
Proof.
  intros whole ps t.
  induction t as [ms|k ts IH|i c t1 t2 IH1 IH2|ts c t1 t2 IH1 IH2|i j u IHu|] using tree_induction;
    intros ls ds b x H Hw Hp Hb Hl Hd; cbn [check] in H.
  - eapply leaf_sound; eauto.
  - destruct (nth_error ds k) as [members|] eqn:E; [|discriminate].
    assert (Ha : sat (O members) x) by (apply Hd; eapply nth_error_In; eauto). clear E.
    revert members Ha H. induction ts as [|t ts IHts]; intros [|f fs] Ha H; try discriminate;
      cbn [sat fold_right] in Ha; [contradiction|].
    inversion IH as [|? ? Pt Pts]; subst. apply andb_true_iff in H. destruct H as [H1 H2].
    destruct Ha as [Ha|Ha]; [|eapply IHts; eauto].
    destruct (assume_sound f x Ha) as [Hr Hc].
    eapply (Pt _ _ b x H1 Hw Hp Hb); [apply rows_app|apply choices_app]; assumption.
  - apply andb_true_iff in H. destruct H as [H H2]. apply andb_true_iff in H. destruct H as [Hi H1].
    destruct (Hw i Hi) as [z Hz]. destruct (Z_le_gt_dec z c) as [Hle|Hgt].
    + apply (IH1 ls ds _ x H1 Hw Hp); auto. apply set_ends_sound; [exact Hb|].
      intros [lo hi] _ [Il Ih]. unfold inside, at_most in *. cbn [fst snd] in *. rewrite Hz in *. split; [exact Il|].
      destruct hi as [h|]; apply IZR_le; [apply le_IZR in Ih|]; lia.
    + apply (IH2 ls ds _ x H2 Hw Hp); auto. apply set_ends_sound; [exact Hb|].
      intros [lo hi] _ [Il Ih]. unfold inside, at_least in *. cbn [fst snd] in *. rewrite Hz in *. split; [|exact Ih].
      destruct lo as [l|]; apply IZR_le; [apply le_IZR in Il|]; lia.
  - apply andb_true_iff in H. destruct H as [H1 H2]. destruct (Rle_or_lt (dot ts x) (IZR c)) as [Hc|Hc].
    + apply (IH1 _ ds b x H1 Hw Hp Hb); auto. apply rows_one; [exact Hl|]. unfold sat_row; cbn. exact Hc.
    + apply (IH2 _ ds b x H2 Hw Hp Hb); auto. apply rows_one; [exact Hl|].
      unfold sat_row; cbn [left right strict]. rewrite dot_opposite, opp_IZR. lra.
  - destruct (operand i ls b) as [d|] eqn:Ed; [|discriminate]. destruct (operand j ls b) as [e|] eqn:Ee; [|discriminate].
    destruct (product ps d e) as [r|] eqn:Er; [|discriminate].
    apply (IHu _ ds b x H Hw Hp Hb); auto. apply rows_one; [exact Hl|].
    eapply product_sound; [exact Hp| | |exact Er]; eapply operand_sound; eauto.
  - eapply empty_sound; eauto.
Qed.

(** ** Problems *)

Record problem := Problem { bounds : box; ints : list nat; made : products; facts : list fact }.

Definition satisfies (p : problem) (x : valuation) : Prop :=
  in_box (bounds p) x /\ (forall i, In i (ints p) -> exists z, x i = IZR z) /\ hold_products (made p) x /\
  forall f, In f (facts p) -> sat f x.

Definition refutes (p : problem) (t : tree) : bool :=
  let a := assume (A (facts p)) in
  check (fun i => existsb (Nat.eqb i) (ints p)) (made p) t (fst a) (snd a) (bounds p).

Theorem refutes_sound : forall p t, refutes p t = true -> forall x, ~ satisfies p x.
Proof.
  intros p t H x (Hb & Hi & Hp & Hf). unfold refutes in H.
  assert (Ha : sat (A (facts p)) x).
  { cbn [sat]. clear H. induction (facts p) as [|f r IH]; cbn [fold_right]; [exact Logic.I|].
    split; [apply Hf; left; reflexivity|]. apply IH. intros g Hg. apply Hf. right. exact Hg. }
  destruct (assume_sound _ _ Ha) as [Hr Hc].
  eapply check_sound; [exact H| |exact Hp|exact Hb|exact Hr|exact Hc].
  intros i Hw. apply existsb_exists in Hw. destruct Hw as (j & Hj & E). apply Nat.eqb_eq in E. subst j. auto.
Qed.
