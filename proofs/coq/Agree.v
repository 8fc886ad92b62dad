(** * Facts checked against the proved lowering

    A file holds a rule of core, the facts that some other lowering made of it, the ranges in which they are meant, and
    four certificates: the scope fails exactly where the rule does not apply, and scope and body hold exactly where it is
    complied with, as [Lower] says. The check lowers the rule again; what it accepts are facts that give the verdicts of
    the rule in every state inside the ranges. *)
Require Import ZArith QArith Qreals Reals List Lia Lra Bool.
From Lexwatt Require Import Certificate Claim Core Branches Polynomial Lower.
Import ListNotations.
Open Scope Z_scope.

(** ** The fact that holds exactly where another does not *)

Fixpoint negate (f : fact) : fact :=
  match f with
  | L c => L (Row (opposite (left c)) (- right c) (negb (strict c)))
  | A fs => O (map negate fs)
  | O fs => A (map negate fs)
  end.

Lemma negate_sound : forall f x, sat f x \/ sat (negate f) x.
Proof.
  intros f x. induction f as [c|fs IH|fs IH] using fact_induction.
  - cbn [negate sat]. unfold sat_row. cbn [left right strict]. rewrite dot_opposite, opp_IZR.
    destruct (strict c); cbn [negb]; lra.
  - cbn [negate]. rewrite sat_all, sat_any. induction IH as [|f fs [H|H] _ [K|K]]; cbn [map];
      rewrite ?Forall_cons_iff, ?Exists_cons; auto.
  - cbn [negate]. rewrite sat_all, sat_any. induction IH as [|f fs [H|H] _ [K|K]]; cbn [map];
      rewrite ?Forall_cons_iff, ?Exists_cons; auto.
Qed.

(** ** What a file says *)

Record agreement := Agreement {
  steps : list Q; ranges : box; table : products; asked : rule; scope_fact : fact; body_fact : fact }.

(** A state as a valuation: each quantity in its steps, and their products. *)
Definition in_steps (qs : list Q) (s : state) (i : nat) : R :=
  match nth_error qs i with Some q => (s i / Q2R q)%R | None => s i end.
Fixpoint valued (ps : products) (y : valuation) (i : nat) : R :=
  match ps with
  | [] => y i
  | (w, j, k) :: r => if Nat.eqb w i then (y j * y k)%R else valued r y i
  end.
Definition valuation_of (a : agreement) (s : state) : valuation := valued (table a) (in_steps (steps a) s).

Definition made_of (ps : products) (i : nat) : bool := existsb (fun q => Nat.eqb (fst (fst q)) i) ps.

(** The ranges are those of the quantities; what is said of a product follows. *)
Definition in_ranges (a : agreement) (s : state) : Prop :=
  forall i e, nth_error (ranges a) i = Some e -> made_of (table a) i = false -> inside e (in_steps (steps a) s i).

Definition refuted (a : agreement) (fs : list fact) (t : tree) : bool :=
  refutes (Problem (ranges a) [] (table a) fs) t.

Definition shown (a : agreement) (ts : tree * tree * (tree * tree)) : bool :=
  formed (Problem (ranges a) [] (table a) []) &&
  forallb (fun q => negb (Qnum q =? 0)) (steps a) &&
  forallb (fun q => Nat.leb (length (steps a)) (fst (fst q))) (table a) &&
  match lower_rule (steps a) (table a) (ranges a) (asked a) with
  | None => false
  | Some l =>
      let '(t1, t2, (t3, t4)) := ts in
      refuted a [exempt l; scope_fact a] t1 && refuted a [negate (exempt l); negate (scope_fact a)] t2 &&
      refuted a [applies l; complies l; negate (A [scope_fact a; body_fact a])] t3 &&
      refuted a [scope_fact a; body_fact a; negate (A [applies l; complies l])] t4
  end.

(** ** What it shows *)

Lemma valued_plain : forall ps y i, made_of ps i = false -> valued ps y i = y i.
Proof.
  induction ps as [|[[w j] k] ps IH]; intros y i H; [reflexivity|].
  unfold made_of in H. cbn [existsb fst valued] in *. apply orb_false_iff in H. destruct H as [-> H]. apply IH. exact H.
Qed.

Lemma valued_made : forall ps y w j k, distinct ps = true -> In (w, j, k) ps -> valued ps y w = (y j * y k)%R.
Proof.
  induction ps as [|[[v m] n] ps IH]; intros y w j k D H; [destruct H|].
  cbn [distinct valued] in *. apply andb_true_iff in D. destruct D as [D1 D2]. destruct H as [H|H].
  - inversion H; subst. rewrite Nat.eqb_refl. reflexivity.
  - destruct (Nat.eqb_spec v w) as [->|_]; [|exact (IH y w j k D2 H)].
    rewrite forallb_forall in D1. specialize (D1 _ H). cbn in D1. rewrite Nat.eqb_refl in D1. discriminate.
Qed.

Lemma between : forall l h v w c d, (l <= v <= h)%R -> (c <= l * w)%R -> (c <= h * w)%R -> (l * w <= d)%R ->
  (h * w <= d)%R -> (c <= v * w <= d)%R.
Proof. intros. destruct (Rle_or_lt 0 w); split; nra. Qed.

Lemma corners_sound : forall e f m n v w, corners e f = Some (m, n) -> inside e v -> inside f w ->
  (IZR m <= v * w <= IZR n)%R.
Proof.
  intros [[p|] [q|]] [[r|] [s|]] m n v w E [V1 V2] [W1 W2]; cbn [corners fst snd] in *; try discriminate.
  inversion E; subst m n; clear E.
  assert (B : forall z, (z = p * r \/ z = p * s \/ z = q * r \/ z = q * s) ->
    Z.min (Z.min (p * r) (p * s)) (Z.min (q * r) (q * s)) <= z <= Z.max (Z.max (p * r) (p * s)) (Z.max (q * r) (q * s)))
    by lia.
  set (m := Z.min _ _) in *. set (n := Z.max _ _) in *.
  assert (C : forall z, (z = p * r \/ z = p * s \/ z = q * r \/ z = q * s) -> (IZR m <= IZR z <= IZR n)%R)
    by (intros z Hz; destruct (B z Hz); split; apply IZR_le; assumption).
  assert (C1 := C (p * r) ltac:(auto)). assert (C2 := C (p * s) ltac:(auto)). assert (C3 := C (q * r) ltac:(auto)).
  assert (C4 := C (q * s) ltac:(auto)). rewrite mult_IZR in C1, C2, C3, C4.
  assert (D1 : (IZR m <= w * IZR p <= IZR n)%R) by (apply (between (IZR r) (IZR s)); lra).
  assert (D2 : (IZR m <= w * IZR q <= IZR n)%R) by (apply (between (IZR r) (IZR s)); lra).
  apply (between (IZR p) (IZR q)); lra.
Qed.

Lemma roomy_sound : forall e f g v w, roomy e (corners f g) = true -> inside f v -> inside g w -> inside e (v * w)%R.
Proof.
  intros e f g v w H Hv Hw. unfold roomy in H. apply andb_true_iff in H. destruct H as [H1 H2].
  destruct (corners f g) as [[m n]|] eqn:E.
  - destruct (corners_sound f g m n v w E Hv Hw) as [B1 B2].
    split; [destruct (fst e) as [l|]|destruct (snd e) as [h|]]; try exact Logic.I;
      [apply Z.leb_le, IZR_le in H1|apply Z.leb_le, IZR_le in H2]; lra.
  - split; [destruct (fst e)|destruct (snd e)]; (discriminate || exact Logic.I).
Qed.

Lemma made_of_spec : forall ps i, made_of ps i = false <-> (forall w j k, In (w, j, k) ps -> w <> i).
Proof.
  intros ps i. unfold made_of. split.
  - intros H w j k Hi ->. assert (T : existsb (fun q => Nat.eqb (fst (fst q)) i) ps = true); [|congruence].
    apply existsb_exists. exists (i, j, k). split; [exact Hi|apply Nat.eqb_refl].
  - intros H. destruct (existsb _ ps) eqn:T; [|reflexivity]. apply existsb_exists in T.
    destruct T as ([[w j] k] & Hi & E). apply Nat.eqb_eq in E. destruct (H w j k Hi E).
Qed.

(** Every state inside the ranges has a valuation that the lowering speaks of. *)
Lemma valuation_fits : forall a s, formed (Problem (ranges a) [] (table a) []) = true ->
  forallb (fun q => negb (Qnum q =? 0)) (steps a) = true ->
  forallb (fun q => Nat.leb (length (steps a)) (fst (fst q))) (table a) = true -> in_ranges a s ->
  let x := valuation_of a s in
  (forall i q, nth_error (steps a) i = Some q -> s i = (Q2R q * x i)%R) /\ hold_products (table a) x /\
  in_box (ranges a) x.
Proof.
  intros a s F N U R x. unfold formed in F. cbn [ints bounds made] in F.
  apply andb_true_iff in F. destruct F as [F FP]. apply andb_true_iff in F. destruct F as [_ FD].
  assert (Plain : forall w j k, In (w, j, k) (table a) ->
    made_of (table a) j = false /\ made_of (table a) k = false /\
    exists e f g, nth_error (ranges a) w = Some e /\ nth_error (ranges a) j = Some f /\ nth_error (ranges a) k = Some g /\
      roomy e (corners f g) = true).
  { intros w j k Hi. rewrite forallb_forall in FP. specialize (FP _ Hi). unfold product_formed in FP.
    cbn [bounds made] in FP.
    destruct (nth_error (ranges a) w) as [e|]; [|discriminate]. destruct (nth_error (ranges a) j) as [f|]; [|discriminate].
    destruct (nth_error (ranges a) k) as [g|]; [|discriminate].
    apply andb_true_iff in FP. destruct FP as [FP Rm]. apply andb_true_iff in FP. destruct FP as [FP Pk].
    apply andb_true_iff in FP. destruct FP as [_ Pj]. apply negb_true_iff in Pj, Pk.
    assert (G : forall i, existsb (fun r : nat * nat * nat => let '(u, _, _) := r in Nat.eqb u i) (table a) = made_of (table a) i).
    { intros i. unfold made_of. clear. induction (table a) as [|[[u v] z] r IH]; [reflexivity|]. cbn. rewrite IH. reflexivity. }
    rewrite G in Pj, Pk. split; [exact Pj|]. split; [exact Pk|]. exists e, f, g. auto. }
  split; [|split].
  - intros i q E. unfold x, valuation_of. rewrite valued_plain.
    + unfold in_steps. rewrite E. rewrite forallb_forall in N. specialize (N q (nth_error_In _ _ E)).
      apply negb_true_iff, Z.eqb_neq in N. assert (Z0 : (Q2R q <> 0)%R); [|field; exact Z0].
      intros C. apply N. unfold Q2R in C. apply eq_IZR. assert (D := den_positive (Qden q)).
      apply Rmult_integral in C. destruct C as [C|C]; [exact C|]. apply Rinv_0_lt_compat in D. lra.
    + apply made_of_spec. intros w j k Hi C. subst w. rewrite forallb_forall in U. specialize (U _ Hi). cbn [fst] in U.
      apply Nat.leb_le in U. assert (B := proj1 (nth_error_Some (steps a) i) ltac:(congruence)). lia.
  - intros w j k Hi. unfold x, valuation_of. destruct (Plain w j k Hi) as (Pj & Pk & _).
    rewrite (valued_made _ _ _ _ _ FD Hi), !valued_plain by assumption. reflexivity.
  - intros i e E. unfold x, valuation_of. destruct (made_of (table a) i) eqn:M.
    + unfold made_of in M. apply existsb_exists in M. destruct M as ([[w j] k] & Hi & C). cbn [fst] in C.
      apply Nat.eqb_eq in C. subst w. destruct (Plain i j k Hi) as (Pj & Pk & e' & f & g & E1 & E2 & E3 & Rm).
      rewrite E in E1. inversion E1; subst e'. rewrite (valued_made _ _ _ _ _ FD Hi).
      apply (roomy_sound e f g); [exact Rm|exact (R j f E2 Pj)|exact (R k g E3 Pk)].
    + rewrite valued_plain by exact M. exact (R i e E M).
Qed.

Theorem shown_sound : forall a ts, shown a ts = true -> forall s, in_ranges a s ->
  let x := valuation_of a s in
  (judge (asked a) s = NotApplicable <-> ~ sat (scope_fact a) x) /\
  (judge (asked a) s = Complies <-> sat (scope_fact a) x /\ sat (body_fact a) x).
Proof.
  intros a [[t1 t2] [t3 t4]] H s R x. unfold shown in H.
  apply andb_true_iff in H. destruct H as [H HL]. apply andb_true_iff in H. destruct H as [H U].
  apply andb_true_iff in H. destruct H as [F N].
  destruct (lower_rule (steps a) (table a) (ranges a) (asked a)) as [l|] eqn:E; [|discriminate].
  destruct (valuation_fits a s F N U R) as (Hs & Hp & Hb). fold x in Hs, Hp, Hb.
  destruct (lower_rule_judges (steps a) (table a) (ranges a) s x Hs Hp Hb (asked a) l E) as (C & _ & X).
  rewrite !andb_true_iff in HL. destruct HL as [[[H1 H2] H3] H4].
  assert (K : forall fs t, refuted a fs t = true -> ~ Forall (fun f => sat f x) fs).
  { intros fs t T Hf. rewrite Forall_forall in Hf. apply (refutes_sound _ _ T x).
    split; [exact Hb|]. split; [intros i []|]. split; [exact Hp|exact Hf]. }
  apply K in H1, H2, H3, H4. rewrite !Forall_cons_iff in H1. rewrite !Forall_cons_iff in H2.
  rewrite !Forall_cons_iff in H3. rewrite !Forall_cons_iff in H4. rewrite C, X. clearbody x.
  assert (Nil := Forall_nil (fun f => sat f x)).
  assert (G : forall f g, sat (A [f; g]) x <-> sat f x /\ sat g x) by (intros; cbn [sat fold_right]; tauto).
  split; split.
  - tauto.
  - intros Y. destruct (negate_sound (exempt l) x); [assumption|]. destruct (negate_sound (scope_fact a) x); tauto.
  - intros Y. rewrite <- G. destruct (negate_sound (A [scope_fact a; body_fact a]) x); [assumption|tauto].
  - intros Y. rewrite <- G. destruct (negate_sound (A [applies l; complies l]) x); [assumption|tauto].
Qed.
