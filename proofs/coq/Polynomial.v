(** * Polynomials and their rows, and the branches of extremes and curves

    A polynomial is a linear form over variables and products of two, in steps, over a common denominator. *)
Require Import ZArith QArith Qreals Reals List Lia Lra Bool.
From Lexwatt Require Import Certificate Core Branches.
Import ListNotations.
Open Scope Z_scope.

(** ** Polynomials *)

Record poly := Poly { lin : terms; off : Z; den : positive }.

Definition at_ (x : valuation) (p : poly) : R := ((dot (lin p) x + IZR (off p)) / IZR (Zpos (den p)))%R.

Lemma den_positive : forall d : positive, (0 < IZR (Zpos d))%R.
Proof. intros d. apply IZR_lt. lia. Qed.

Lemma at_spec : forall x p v, at_ x p = v <-> (dot (lin p) x + IZR (off p) = v * IZR (Zpos (den p)))%R.
Proof.
  intros x p v. assert (D := den_positive (den p)). unfold at_. split.
  - intros <-. field. lra.
  - intros E. rewrite E. field. lra.
Qed.

Fixpoint divided (g : Z) (ts : terms) : option terms :=
  match ts with
  | [] => Some []
  | (i, a) :: r => if a mod g =? 0 then with_ (divided g r) (fun us => Some ((i, a / g) :: us)) else None
  end.
Definition common (ts : terms) (first : Z) : Z := fold_right (fun t g => Z.gcd (snd t) g) first ts.

Lemma whole_part : forall a g, 0 < g -> (a mod g =? 0) = true -> IZR a = (IZR g * IZR (a / g))%R.
Proof. intros a g Hg H. apply Z.eqb_eq in H. rewrite <- mult_IZR. f_equal. apply Z_div_exact_full_2; lia. Qed.

Lemma divided_dot : forall g ts us x, 0 < g -> divided g ts = Some us -> dot ts x = (IZR g * dot us x)%R.
Proof.
  intros g ts us x Hg. revert us. induction ts as [|[i a] ts IH]; intros us E; cbn [divided] in E.
  - inversion E; subst. cbn. lra.
  - destruct (a mod g =? 0) eqn:M; [|discriminate]. destruct (divided g ts) as [vs|]; [|discriminate].
    cbn [with_] in E. inversion E; subst us. cbn [dot]. rewrite (IH vs eq_refl), (whole_part a g Hg M). lra.
Qed.

Definition reduce (p : poly) : poly :=
  let g := common (lin p) (Z.gcd (off p) (Zpos (den p))) in
  match divided g (lin p) with
  | Some ts =>
      if (0 <? g) && (off p mod g =? 0) && (Zpos (den p) mod g =? 0)
      then Poly ts (off p / g) (Z.to_pos (Zpos (den p) / g)) else p
  | None => p
  end.

Lemma at_reduce : forall x p, at_ x (reduce p) = at_ x p.
Proof.
  intros x p. unfold reduce. set (g := common _ _). destruct (divided g (lin p)) as [ts|] eqn:E; [|reflexivity].
  destruct (0 <? g) eqn:Hg; [|reflexivity]. destruct (off p mod g =? 0) eqn:Ho; [|reflexivity].
  destruct (Zpos (den p) mod g =? 0) eqn:Hd; [|reflexivity]. cbn [andb]. apply Z.ltb_lt in Hg.
  assert (D := den_positive (den p)). assert (G : (0 < IZR g)%R) by (apply IZR_lt; lia).
  assert (Q : 0 < Zpos (den p) / g).
  { apply Z.eqb_eq in Hd. assert (Zpos (den p) = g * (Zpos (den p) / g)) by (apply Z_div_exact_full_2; lia). nia. }
  unfold at_. cbn [lin off den]. rewrite Z2Pos.id by exact Q.
  rewrite (divided_dot g _ ts x Hg E), (whole_part _ g Hg Ho), (whole_part _ g Hg Hd).
  apply IZR_lt in Q. field. lra.
Qed.

Definition constant (q : Q) : poly := Poly [] (Qnum q) (Qden q).
Definition times (q : Q) (p : poly) : poly :=
  reduce (Poly (scale (Qnum q) (lin p)) (Qnum q * off p) (Qden q * den p)).
Definition add (p q : poly) : poly :=
  reduce (Poly (plus (scale (Zpos (den q)) (lin p)) (scale (Zpos (den p)) (lin q)))
    (Zpos (den q) * off p + Zpos (den p) * off q) (den p * den q)).
Definition minus (p q : poly) : poly := add p (times (-1 # 1) q).
Definition multiply (table : products) (p q : poly) : option poly :=
  with_ (cross table (lin p) (lin q)) (fun s =>
  Some (reduce (Poly (plus (opposite s) (plus (scale (off q) (lin p)) (scale (off p) (lin q)))) (off p * off q)
    (den p * den q)))).
Definition divide (p : poly) (c : Z) (d : positive) : poly :=
  reduce (Poly (scale (Z.sgn c * Zpos d) (lin p)) (Z.sgn c * Zpos d * off p) (den p * Z.to_pos (Z.abs c))).

Section Polynomials.
Variable x : valuation.

Lemma at_constant : forall q, at_ x (constant q) = Q2R q.
Proof. intros q. unfold at_, Q2R, constant. cbn [lin off den dot]. unfold Rdiv. rewrite Rplus_0_l. reflexivity. Qed.

Lemma at_times : forall q p, at_ x (times q p) = (Q2R q * at_ x p)%R.
Proof.
  intros q p. unfold times. rewrite at_reduce. unfold at_, Q2R. cbn [lin off den].
  rewrite dot_scale, mult_IZR, Pos2Z.inj_mul, mult_IZR.
  assert (D := den_positive (den p)). assert (E := den_positive (Qden q)). field. lra.
Qed.

Lemma at_add : forall p q, at_ x (add p q) = (at_ x p + at_ x q)%R.
Proof.
  intros p q. unfold add. rewrite at_reduce. unfold at_. cbn [lin off den].
  rewrite dot_plus, !dot_scale, plus_IZR, !mult_IZR, Pos2Z.inj_mul, mult_IZR.
  assert (D := den_positive (den p)). assert (E := den_positive (den q)). field. lra.
Qed.

Lemma at_minus : forall p q, at_ x (minus p q) = (at_ x p - at_ x q)%R.
Proof.
  intros p q. unfold minus. rewrite at_add, at_times. replace (Q2R (-1 # 1)) with (-1)%R; [lra|].
  unfold Q2R. cbn. lra.
Qed.

Lemma at_multiply : forall table p q r, hold_products table x -> multiply table p q = Some r ->
  at_ x r = (at_ x p * at_ x q)%R.
Proof.
  intros table p q r H E. unfold multiply in E. destruct (cross table (lin p) (lin q)) as [s|] eqn:Es; [|discriminate].
  cbn [with_] in E. inversion E; subst r. rewrite at_reduce. unfold at_. cbn [lin off den].
  rewrite !dot_plus, dot_opposite, !dot_scale, (cross_sound _ _ _ _ _ H Es), mult_IZR, Pos2Z.inj_mul, mult_IZR.
  assert (D := den_positive (den p)). assert (F := den_positive (den q)). field. lra.
Qed.

Lemma at_divide : forall p q, lin q = [] -> off q <> 0 -> at_ x (divide p (off q) (den q)) = (at_ x p / at_ x q)%R.
Proof.
  intros p q Hl Ho. unfold divide. rewrite at_reduce. unfold at_. cbn [lin off den]. rewrite Hl. cbn [dot].
  rewrite dot_scale, !mult_IZR, Pos2Z.inj_mul, mult_IZR, Z2Pos.id by lia.
  assert (D := den_positive (den p)). assert (F := den_positive (den q)).
  destruct (Z.lt_total (off q) 0) as [H|[H|H]]; [|contradiction|].
  - rewrite Z.sgn_neg, Z.abs_neq by lia. rewrite opp_IZR. apply IZR_lt in H. field. lra.
  - rewrite Z.sgn_pos, Z.abs_eq by lia. apply IZR_lt in H. field. lra.
Qed.

Lemma at_zero : forall q, lin q = [] -> at_ x q = 0%R <-> IZR (off q) = 0%R.
Proof.
  intros q Hl. rewrite at_spec, Hl. cbn [dot]. assert (D := den_positive (den q)).
  rewrite Rmult_0_l, Rplus_0_l. reflexivity.
Qed.

Lemma at_sum : forall ps, at_ x (fold_right add (constant 0) ps) = fold_right Rplus 0%R (map (at_ x) ps).
Proof.
  induction ps as [|p ps IH]; cbn [fold_right map].
  - rewrite at_constant. unfold Q2R. cbn. lra.
  - rewrite at_add, IH. reflexivity.
Qed.
End Polynomials.

(** ** Rows *)

Section Box.
Variable b : box.

Definition never (ts : terms) (c : Z) (strict : bool) : bool :=
  match least ts b with Some m => (c <? m) || (strict && (c =? m)) | None => false end.
Definition always (ts : terms) (c : Z) (strict : bool) : bool :=
  match least (opposite ts) b with Some m => (- m <? c) || (negb strict && (- m =? c)) | None => false end.
Definition tidy (ts : terms) (c : Z) (strict : bool) : row :=
  let g := common ts c in
  match divided g ts with
  | Some us => if (0 <? g) && (c mod g =? 0) then Row us (c / g) strict else Row ts c strict
  | None => Row ts c strict
  end.

(** [ts <= c], decided at once where the box decides it. *)
Definition row_fact (ts : terms) (c : Z) (strict : bool) : fact :=
  if never ts c strict then no else if always ts c strict then yes else L (tidy ts c strict).

Definition below (p : poly) (strict : bool) : fact := row_fact (lin p) (- off p) strict.
Definition over (p : poly) (strict : bool) : fact := row_fact (opposite (lin p)) (off p) strict.

Section Sound.
Variable x : valuation.
Hypothesis Hb : in_box b x.

Lemma tidy_sound : forall ts c strict, sat_row (tidy ts c strict) x <-> sat_row (Row ts c strict) x.
Proof.
  intros ts c s. unfold tidy. set (g := common ts c). destruct (divided g ts) as [us|] eqn:E; [|reflexivity].
  destruct (0 <? g) eqn:Hg; [|reflexivity]. destruct (c mod g =? 0) eqn:Hc; [|reflexivity]. cbn [andb].
  apply Z.ltb_lt in Hg. unfold sat_row. cbn [left right strict].
  rewrite (divided_dot g ts us x Hg E), (whole_part c g Hg Hc). apply IZR_lt in Hg.
  destruct s; split; intros H; first [apply (Rmult_lt_compat_l _ _ _ Hg) in H; lra | apply (Rmult_le_compat_l (IZR g)) in H; lra
    | apply (Rmult_lt_reg_l _ _ _ Hg) in H; lra | apply (Rmult_le_reg_l _ _ _ Hg) in H; lra].
Qed.

Lemma row_fact_sound : forall ts c strict, sat (row_fact ts c strict) x <-> sat_row (Row ts c strict) x.
Proof.
  intros ts c s. unfold row_fact. destruct (never ts c s) eqn:N; [|destruct (always ts c s) eqn:Y].
  - split; [intros []|]. unfold never in N. destruct (least ts b) as [m|] eqn:E; [|discriminate].
    assert (M := least_sound ts b x m Hb E). unfold sat_row. cbn [left right strict]. intros H. exfalso.
    apply orb_true_iff in N. destruct N as [N|N].
    + apply Z.ltb_lt, IZR_lt in N. destruct s; lra.
    + apply andb_true_iff in N. destruct N as [-> N]. apply Z.eqb_eq in N. subst m. lra.
  - split; [|intros _; exact Logic.I]. intros _. unfold always in Y.
    destruct (least (opposite ts) b) as [m|] eqn:E; [|discriminate].
    assert (M := least_sound _ b x m Hb E). rewrite dot_opposite in M. unfold sat_row. cbn [left right strict].
    apply orb_true_iff in Y. destruct Y as [Y|Y].
    + apply Z.ltb_lt, IZR_lt in Y. rewrite opp_IZR in Y. destruct s; lra.
    + apply andb_true_iff in Y. destruct Y as [S Y]. apply Z.eqb_eq in Y. subst c. destruct s; [discriminate|].
      rewrite opp_IZR. lra.
  - exact (tidy_sound ts c s).
Qed.

Lemma below_sound : forall p strict, sat (below p strict) x <-> at_most_zero strict (at_ x p) = true.
Proof.
  intros p s. unfold below. rewrite row_fact_sound. unfold sat_row. cbn [left right strict]. rewrite opp_IZR.
  assert (D := den_positive (den p)). assert (E := proj1 (at_spec x p _) eq_refl). set (v := at_ x p) in *.
  unfold at_most_zero, truth. destruct s; [destruct (Rlt_dec v 0)|destruct (Rle_dec v 0)];
    (split; intros H; [try reflexivity; exfalso; nra|try discriminate; nra]).
Qed.

Lemma over_sound : forall p strict, sat (over p strict) x <-> at_most_zero (negb strict) (at_ x p) = false.
Proof.
  intros p s. unfold over. rewrite row_fact_sound. unfold sat_row. cbn [left right strict]. rewrite dot_opposite.
  assert (D := den_positive (den p)). assert (E := proj1 (at_spec x p _) eq_refl). set (v := at_ x p) in *.
  unfold at_most_zero, truth. destruct s; cbn [negb]; [destruct (Rle_dec v 0)|destruct (Rlt_dec v 0)];
    (split; intros H; [try reflexivity; exfalso; nra|try discriminate; nra]).
Qed.

(** ** Extremes and curves *)

Definition at_most (p q : poly) : fact := below (minus p q) false.
Definition more (p q : poly) : fact := over (minus p q) true.

Lemma at_most_sound : forall p q, sat (at_most p q) x <-> (at_ x p <= at_ x q)%R.
Proof.
  intros p q. unfold at_most. rewrite below_sound, at_minus. unfold at_most_zero, truth.
  destruct (Rle_dec _ _); split; intros; first [discriminate | reflexivity | lra].
Qed.

Lemma more_sound : forall p q, sat (more p q) x <-> (at_ x q < at_ x p)%R.
Proof.
  intros p q. unfold more. rewrite over_sound, at_minus. unfold at_most_zero, truth. cbn [negb].
  destruct (Rle_dec _ _); split; intros; first [discriminate | reflexivity | lra].
Qed.
End Sound.

Definition at_least_as (greatest : bool) (p q : poly) : fact := if greatest then at_most q p else at_most p q.

Fixpoint peaks (greatest : bool) (p : poly) (ps : list poly) : branches poly :=
  match ps with
  | [] => only p
  | q :: r =>
      (every (map (at_least_as greatest p) (q :: r)), p) ::
      map (fun c => (join (at_least_as greatest (snd c) p) (fst c), snd c)) (peaks greatest q r)
  end.

Definition line (x0 y0 x1 y1 : Q) (p : poly) : poly :=
  add (constant y0) (times ((y1 - y0) / (x1 - x0)) (minus p (constant x0))).

Fixpoint pieces (x0 y0 : Q) (points : list (Q * Q)) (p : poly) : branches poly :=
  match points with
  | [] => [(more p (constant x0), constant y0)]
  | (x1, y1) :: r =>
      (join (more p (constant x0)) (at_most p (constant x1)), line x0 y0 x1 y1 p) :: pieces x1 y1 r p
  end.

Fixpoint increasing (x0 : Q) (points : list (Q * Q)) : bool :=
  match points with [] => true | (x1, _) :: r => negb (Qle_bool x1 x0) && increasing x1 r end.

Definition curved (points : list (Q * Q)) (p : poly) : option (branches poly) :=
  match points with
  | [] => Some []
  | (x0, y0) :: r =>
      if increasing x0 r then Some ((at_most p (constant x0), constant y0) :: pieces x0 y0 r p) else None
  end.

Section Bends.
Variable x : valuation.
Hypothesis Hb : in_box b x.

Lemma at_least_as_sound : forall g p q, sat (at_least_as g p q) x <-> beats g (at_ x p) (at_ x q).
Proof. intros [|] p q; apply (at_most_sound x Hb). Qed.

Lemma peaks_means : forall g ps p, means (at_ x) x (peaks g p ps) (Some (extreme g (at_ x p) (map (at_ x) ps))).
Proof.
  intros g ps. induction ps as [|q r IH]; intros p; [exact (only_means x (at_ x) p)|].
  specialize (IH q). cbn [peaks]. change (extreme g (at_ x p) (map (at_ x) (q :: r)))
    with (pick g (at_ x p) (extreme g (at_ x q) (map (at_ x) r))).
  set (m := extreme g (at_ x q) (map (at_ x) r)) in *. destruct (pick_cases g (at_ x p) m) as [P1 P2].
  assert (S : sat (every (map (at_least_as g p) (q :: r))) x <-> beats g (at_ x p) m).
  { unfold m. rewrite beats_extreme, sat_every, Forall_map. change (at_ x q :: map (at_ x) r) with (map (at_ x) (q :: r)).
    rewrite Forall_map. split; apply Forall_impl; intros t; apply at_least_as_sound. }
  intros w. split.
  - intros E. injection E as E. assert (T : beats g (at_ x p) m \/ beats g m (at_ x p)) by (destruct g; unfold beats; lra).
    destruct T as [T|T].
    + rewrite (P1 T) in E. eexists _, p. split; [left; reflexivity|]. split; [apply S; exact T|exact E].
    + rewrite (P2 T) in E. destruct (proj1 (IH m) eq_refl) as (h & t & Hi & Hh & Ht).
      exists (join (at_least_as g t p) h), t. split.
      * right. apply in_map_iff. exists (h, t). auto.
      * split; [|congruence]. apply sat_join. split; [|exact Hh]. apply at_least_as_sound. rewrite Ht. exact T.
  - intros (h & t & [Hi|Hi] & Hh & Ht).
    + inversion Hi; subst h t. apply S in Hh. rewrite (P1 Hh), Ht. reflexivity.
    + apply in_map_iff in Hi. destruct Hi as ([k u] & E & Hi). cbn [fst snd] in E. inversion E; subst h u.
      apply sat_join in Hh. destruct Hh as [H1 H2]. apply at_least_as_sound in H1.
      assert (M := proj2 (IH (at_ x t)) (ex_intro _ k (ex_intro _ t (conj Hi (conj H2 eq_refl))))).
      injection M as M. rewrite <- M in H1. rewrite (P2 H1). congruence.
Qed.

Lemma at_line : forall x0 y0 x1 y1 p, (Q2R x0 < Q2R x1)%R ->
  at_ x (line x0 y0 x1 y1 p) = (Q2R y0 + (Q2R y1 - Q2R y0) * (at_ x p - Q2R x0) / (Q2R x1 - Q2R x0))%R.
Proof.
  intros x0 y0 x1 y1 p H. unfold line. rewrite at_add, at_times, at_minus, !at_constant.
  rewrite Q2R_div, !Q2R_minus; [field; lra|].
  intros E. apply Qeq_eqR in E. rewrite Q2R_minus in E. unfold Q2R in E at 3. cbn in E. lra.
Qed.

Lemma pieces_means : forall points x0 y0 p, increasing x0 points = true -> forall w,
  ((Q2R x0 < at_ x p)%R /\ curve_from x0 y0 points (at_ x p) = w) <->
  exists g t, In (g, t) (pieces x0 y0 points p) /\ sat g x /\ at_ x t = w.
Proof.
  induction points as [|[x1 y1] r IH]; intros x0 y0 p A w; cbn [pieces curve_from increasing] in *.
  - split.
    + intros [H <-]. eexists _, _. split; [left; reflexivity|]. rewrite (more_sound x Hb), !at_constant. auto.
    + intros (g & t & [E|[]] & Hg & Ht). inversion E; subst g t. apply (more_sound x Hb) in Hg.
      rewrite at_constant in *. auto.
  - apply andb_true_iff in A. destruct A as [A Ar]. specialize (IH x1 y1 p Ar w).
    assert (U : (Q2R x0 < Q2R x1)%R).
    { apply Qlt_Rlt. apply Qnot_le_lt. intros C. apply Qle_bool_iff in C. rewrite C in A. discriminate. }
    split.
    + intros [H E]. destruct (Rle_dec (at_ x p) (Q2R x1)) as [L1|L1].
      * eexists _, _. split; [left; reflexivity|].
        rewrite sat_join, (more_sound x Hb), (at_most_sound x Hb), !at_constant, (at_line x0 y0 x1 y1 p U). auto.
      * destruct (proj1 IH) as (g & t & Hi & Hr); [split; [lra|exact E]|]. exists g, t. split; [right; exact Hi|exact Hr].
    + intros (g & t & [E|Hi] & Hg & Ht).
      * inversion E; subst g t. apply sat_join in Hg. destruct Hg as [G1 G2]. apply (more_sound x Hb) in G1.
        apply (at_most_sound x Hb) in G2. rewrite at_constant in G1, G2. rewrite (at_line x0 y0 x1 y1 p U) in Ht.
        destruct (Rle_dec (at_ x p) (Q2R x1)) as [L1|L1]; [split; [exact G1|exact Ht]|contradiction].
      * destruct (proj2 IH (ex_intro _ g (ex_intro _ t (conj Hi (conj Hg Ht))))) as [G1 G2].
        destruct (Rle_dec (at_ x p) (Q2R x1)) as [L1|L1]; [lra|]. split; [lra|exact G2].
Qed.

Lemma curved_means : forall points p bs, curved points p = Some bs -> means (at_ x) x bs (curve points (at_ x p)).
Proof.
  intros [|[x0 y0] r] p bs E; cbn [curved curve] in *; [inversion E; subst; exact (none_means x (at_ x))|].
  destruct (increasing x0 r) eqn:A; [|discriminate]. inversion E; subst bs; clear E. intros w.
  assert (M := pieces_means r x0 y0 p A w). split.
  - intros E. injection E as E. destruct (Rle_dec (at_ x p) (Q2R x0)) as [L0|L0].
    + eexists _, _. split; [left; reflexivity|]. rewrite (at_most_sound x Hb), !at_constant. auto.
    + destruct (proj1 M) as (g & t & Hi & Hr); [split; [lra|exact E]|]. exists g, t. split; [right; exact Hi|exact Hr].
  - intros (g & t & [E|Hi] & Hg & Ht).
    + inversion E; subst g t. apply (at_most_sound x Hb) in Hg. rewrite at_constant in *.
      destruct (Rle_dec (at_ x p) (Q2R x0)) as [L0|L0]; [congruence|contradiction].
    + destruct (proj2 M (ex_intro _ g (ex_intro _ t (conj Hi (conj Hg Ht))))) as [G1 G2].
      destruct (Rle_dec (at_ x p) (Q2R x0)) as [L0|L0]; [lra|congruence].
Qed.
End Bends.
End Box.
