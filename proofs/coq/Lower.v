(** * Core to facts, and the proof that nothing is lost

    An expression becomes branches of polynomials; a condition becomes two facts, one for true and one for false; a rule
    becomes four. For every valuation inside the box whose product variables are products, the facts hold exactly where
    [Core.judge] says so ([lower_rule_exact]). What facts cannot express gives [None]. *)
Require Import ZArith QArith Qreals Reals List Lia Lra Bool.
From Lexwatt Require Import Certificate Core Branches Polynomial.
Import ListNotations.
Open Scope Z_scope.

Section Lower.
Variable steps : list Q.        (* how many base units one step of each quantity is *)
Variable table : products.
Variable b : box.

Definition quotient (p q : poly) : option (branches poly) :=
  match lin q with
  | [] => Some (if off q =? 0 then [] else only (divide p (off q) (den q)))
  | _ => None
  end.

Fixpoint lower_expr (e : expr) {struct e} : option (branches poly) :=
  let each := fold_right (fun f bs =>
    with_ (lower_expr f) (fun cs => with_ bs (fun ds =>
    bind cs (fun p => bind ds (fun ps => Some (only (p :: ps))))))) (Some (only [])) in
  match e with
  | Const q => Some (only (constant q))
  | Param chosen => with_ chosen (fun q => Some (only (constant q)))
  | Var i => with_ (nth_error steps i) (fun q => Some (only (times q (Poly [(i, 1)] 0 1))))
  | Add es => with_ (each es) (fun bs => bind bs (fun ps => Some (only (fold_right add (constant 0) ps))))
  | Mul f g =>
      with_ (lower_expr f) (fun bs => with_ (lower_expr g) (fun cs =>
      bind bs (fun p => bind cs (fun q => with_ (multiply table p q) (fun r => Some (only r))))))
  | Div f g =>
      with_ (lower_expr f) (fun bs => with_ (lower_expr g) (fun cs => bind bs (fun p => bind cs (quotient p))))
  | Extreme greatest es =>
      with_ (each es) (fun bs =>
      bind bs (fun ps => Some (match ps with [] => [] | p :: r => peaks b greatest p r end)))
  | Piecewise points f => with_ (lower_expr f) (fun bs => bind bs (curved b points))
  | Case cases otherwise =>
      fold_right (fun ce rest => match ce with (c, f) =>
        with_ (lower_cond c) (fun d => with_ (lower_expr f) (fun bs => with_ rest (fun cs =>
        Some (under (fst d) bs ++ under (snd d) cs)))) end)
        (match otherwise with Some f => lower_expr f | None => Some [] end) cases
  end
with lower_cond (c : cond) {struct c} : option pair_of_facts :=
  match c with
  | Le e strict =>
      with_ (lower_expr e) (fun bs => Some (decide bs (fun p => (below b p strict, over b p (negb strict)))))
  | All cs =>
      fold_right (fun d rest => with_ (lower_cond d) (fun u => with_ rest (fun v => Some (and_then u v))))
        (Some (yes, no)) cs
  | Any cs =>
      fold_right (fun d rest => with_ (lower_cond d) (fun u => with_ rest (fun v => Some (or_else u v))))
        (Some (no, yes)) cs
  end.

Definition each (es : list expr) : option (branches (list poly)) :=
  fold_right (fun f bs =>
    with_ (lower_expr f) (fun cs => with_ bs (fun ds =>
    bind cs (fun p => bind ds (fun ps => Some (only (p :: ps))))))) (Some (only [])) es.

(** What a rule becomes: facts for where it applies, where it does not, where what it asks is met, and where not. *)
Record lowered := Lowered { applies : fact; exempt : fact; complies : fact; violates : fact }.

Definition lower_margin (above : bool) (bs : branches poly) : pair_of_facts :=
  decide bs (fun p => (over b p above, below b p (negb above))).

Definition lower_margins (above : bool) (es : list expr) : option (list pair_of_facts) :=
  fold_right (fun e ds =>
    with_ (lower_expr e) (fun bs => with_ ds (fun r => Some (lower_margin above bs :: r)))) (Some []) es.

Definition lower_rule (r : rule) : option lowered :=
  with_ (lower_cond (scope r)) (fun s =>
  with_ (lower_cond (when_ r)) (fun w =>
  with_ (lower_cond (demand r)) (fun d =>
  with_ (lower_margins (above r) (margins r)) (fun ms =>
  let body := or_else (snd w, fst w) (all_known (d :: ms)) in
  Some (Lowered (fst s) (snd s) (fst body) (snd body)))))).

(** ** Exactness *)

Variable s : state.
Variable x : valuation.
Hypothesis Hs : forall i q, nth_error steps i = Some q -> s i = (Q2R q * x i)%R.
Hypothesis Ht : hold_products table x.
Hypothesis Hb : in_box b x.

Definition expr_exact (e : expr) := forall bs, lower_expr e = Some bs -> means (at_ x) x bs (value s e).
Definition cond_exact (c : cond) := forall d, lower_cond c = Some d -> decides x d (holds s c).

Lemma each_exact : forall es, Forall expr_exact es -> forall bs, each es = Some bs ->
  means (map (at_ x)) x bs (values s es).
Proof.
  intros es H. induction H as [|e es He _ IH]; intros bs E; cbn [each values fold_right] in *.
  - inversion E; subst. exact (only_means x (map (at_ x)) []).
  - destruct (lower_expr e) as [cs|] eqn:Le1; [|discriminate]. fold (each es) in E. destruct (each es) as [ds|]; [|discriminate].
    cbn [with_] in E. fold (values s es).
    refine (bind_means x (at_ x) (map (at_ x)) _ _ _ _ _ (He cs Le1) _ E).
    intros p us Eu. refine (bind_means x (map (at_ x)) (map (at_ x)) _ _ _ _ _ (IH ds eq_refl) _ Eu).
    intros ps vs Ev. inversion Ev; subst vs. exact (only_means x (map (at_ x)) (p :: ps)).
Qed.

Lemma with_some : forall {T U} (v : option T) (f : T -> U), with_ v (fun w => Some (f w)) = option_map f v.
Proof. intros T U [v|] f; reflexivity. Qed.

Lemma quotient_means : forall p q bs, quotient p q = Some bs ->
  means (at_ x) x bs (if Req_EM_T (at_ x q) 0 then None else Some (at_ x p / at_ x q)%R).
Proof.
  intros p q bs E. unfold quotient in E. destruct (lin q) eqn:L; [|discriminate]. assert (Z0 := at_zero x q L).
  destruct (Z.eqb_spec (off q) 0) as [O|O]; inversion E; subst bs; destruct (Req_EM_T (at_ x q) 0) as [R|R].
  - exact (none_means x (at_ x)).
  - exfalso. apply R. apply Z0. rewrite O. reflexivity.
  - exfalso. apply O. apply eq_IZR. apply Z0. exact R.
  - rewrite <- (at_divide x p q L O). exact (only_means x (at_ x) _).
Qed.

Lemma exact : (forall e, expr_exact e) /\ (forall c, cond_exact c).
Proof.
  assert (G : forall (P : expr -> Prop) (C : cond -> Prop), (forall e, P e) -> (forall c, C c) ->
    (forall e, P e) /\ (forall c, C c)) by auto.
  assert (C1 : forall q, expr_exact (Const q)).
  { intros q bs E. inversion E; subst. cbn [value]. rewrite <- (at_constant x). exact (only_means x (at_ x) _). }
  assert (C2 : forall v, expr_exact (Param v)).
  { intros [q|] bs E; inversion E; subst. cbn [value option_map]. rewrite <- (at_constant x). exact (only_means x (at_ x) _). }
  assert (C3 : forall i, expr_exact (Var i)).
  { intros i bs E. cbn [lower_expr] in E. destruct (nth_error steps i) as [q|] eqn:Q; [|discriminate].
    inversion E; subst bs. cbn [value]. rewrite (Hs i q Q).
    replace (Q2R q * x i)%R with (at_ x (times q (Poly [(i, 1)] 0 1))); [exact (only_means x (at_ x) _)|].
    rewrite at_times. f_equal. unfold at_. cbn. lra. }
  assert (C4 : forall es, Forall expr_exact es -> expr_exact (Add es)).
  { intros es H bs E. cbn [lower_expr] in E. fold (each es) in E. destruct (each es) as [cs|] eqn:Ec; [|discriminate].
    cbn [with_] in E. cbn [value]. fold (values s es). rewrite <- with_some.
    refine (bind_means x (map (at_ x)) (at_ x) _ _ _ _ _ (each_exact es H cs Ec) _ E).
    intros ps us Eu. inversion Eu; subst us. rewrite <- at_sum. exact (only_means x (at_ x) _). }
  assert (C5 : forall e f, expr_exact e -> expr_exact f -> expr_exact (Mul e f)).
  { intros e f He Hf bs E. cbn [lower_expr] in E. destruct (lower_expr e) as [cs|] eqn:Le1; [|discriminate].
    destruct (lower_expr f) as [ds|] eqn:Le2; [|discriminate]. cbn [with_] in E. cbn [value].
    refine (bind_means x (at_ x) (at_ x) _ _ _ _ _ (He cs Le1) _ E).
    intros p us Eu. refine (bind_means x (at_ x) (at_ x) _ _ _ _ _ (Hf ds Le2) _ Eu).
    intros q vs Ev. destruct (multiply table p q) as [r|] eqn:M; [|discriminate]. inversion Ev; subst vs.
    rewrite <- (at_multiply x table p q r Ht M). exact (only_means x (at_ x) _). }
  assert (C6 : forall e f, expr_exact e -> expr_exact f -> expr_exact (Div e f)).
  { intros e f He Hf bs E. cbn [lower_expr] in E. destruct (lower_expr e) as [cs|] eqn:Le1; [|discriminate].
    destruct (lower_expr f) as [ds|] eqn:Le2; [|discriminate]. cbn [with_] in E. cbn [value].
    refine (bind_means x (at_ x) (at_ x) _ _ _ _ _ (He cs Le1) _ E).
    intros p us Eu. refine (bind_means x (at_ x) (at_ x) _ _ _ _ _ (Hf ds Le2) _ Eu).
    exact (quotient_means p). }
  assert (C7 : forall g es, Forall expr_exact es -> expr_exact (Extreme g es)).
  { intros g es H bs E. cbn [lower_expr] in E. fold (each es) in E. destruct (each es) as [cs|] eqn:Ec; [|discriminate].
    cbn [with_] in E. cbn [value]. fold (values s es).
    refine (bind_means x (map (at_ x)) (at_ x) _ _ _ _ _ (each_exact es H cs Ec) _ E).
    intros [|p ps] us Eu; inversion Eu; subst us; [exact (none_means x (at_ x))|exact (peaks_means b x Hb g ps p)]. }
  assert (C8 : forall points e, expr_exact e -> expr_exact (Piecewise points e)).
  { intros points e He bs E. cbn [lower_expr] in E. destruct (lower_expr e) as [cs|] eqn:Le1; [|discriminate].
    cbn [with_] in E. cbn [value]. refine (bind_means x (at_ x) (at_ x) _ _ _ _ _ (He cs Le1) _ E).
    exact (curved_means b x Hb points). }
  assert (C9 : forall cases otherwise, Forall (fun ce => cond_exact (fst ce) /\ expr_exact (snd ce)) cases ->
    maybe expr_exact otherwise -> expr_exact (Case cases otherwise)).
  { intros cases o H Ho. unfold expr_exact. cbn [lower_expr value].
    induction H as [|[c f] cases [Hc Hf] _ IH]; cbn [fold_right fst snd] in *.
    - destruct o as [f|]; [exact Ho|]. intros bs E. inversion E; subst. exact (none_means x (at_ x)).
    - intros bs E. destruct (lower_cond c) as [d|] eqn:Lc; [|discriminate]. destruct (lower_expr f) as [cs|] eqn:Le1; [|discriminate].
      destruct (fold_right _ _ cases) as [ds|] in *; [|discriminate]. cbn [with_] in E. inversion E; subst bs; clear E.
      specialize (Hf cs Le1). specialize (IH ds eq_refl). destruct (Hc d Lc) as [T F].
      destruct (holds s c) as [[|]|]; cbn [with_].
      + apply app_right; [intros N; apply F in N; discriminate|]. apply under_means; [exact Hf|apply T; reflexivity].
      + apply app_left; [intros N; apply T in N; discriminate|]. apply under_means; [exact IH|apply F; reflexivity].
      + intros w. split; [discriminate|]. intros (g & t & Hi & Hg & _). exfalso. apply in_app_or in Hi.
        destruct Hi as [Hi|Hi]; assert (N := under_in x _ _ _ _ Hi Hg); [apply T in N|apply F in N]; discriminate. }
  assert (K1 : forall e strict, expr_exact e -> cond_exact (Le e strict)).
  { intros e st He d E. cbn [lower_cond] in E. destruct (lower_expr e) as [bs|] eqn:Le1; [|discriminate].
    cbn [with_] in E. inversion E; subst d. cbn [holds].
    apply (decide_decides x (at_ x) bs _ _ _ (He bs Le1)). intros p. split; cbn [fst snd].
    - rewrite (below_sound b x Hb). split; congruence.
    - rewrite (over_sound b x Hb), negb_involutive. split; congruence. }
  assert (K2 : forall cs, Forall cond_exact cs -> cond_exact (All cs)).
  { intros cs H. unfold cond_exact. cbn [lower_cond holds].
    induction H as [|c cs Hc _ IH]; cbn [fold_right] in *; intros d E.
    - inversion E; subst. exact (told_decides x true).
    - destruct (lower_cond c) as [u|] eqn:Lc; [|discriminate]. destruct (fold_right _ _ cs) as [v|] in *; [|discriminate].
      cbn [with_] in E. inversion E; subst d. apply and_then_decides; [exact (Hc u Lc)|exact (IH v eq_refl)]. }
  assert (K3 : forall cs, Forall cond_exact cs -> cond_exact (Any cs)).
  { intros cs H. unfold cond_exact. cbn [lower_cond holds].
    induction H as [|c cs Hc _ IH]; cbn [fold_right] in *; intros d E.
    - inversion E; subst. exact (told_decides x false).
    - destruct (lower_cond c) as [u|] eqn:Lc; [|discriminate]. destruct (fold_right _ _ cs) as [v|] in *; [|discriminate].
      cbn [with_] in E. inversion E; subst d. apply or_else_decides; [exact (Hc u Lc)|exact (IH v eq_refl)]. }
  apply G; intros n; [apply (expr_induction expr_exact cond_exact)|apply (cond_induction expr_exact cond_exact)];
    assumption.
Qed.

(** A margin is met where it is at least zero, or above. *)
Definition enough (above : bool) (v : R) : bool := negb (at_most_zero (negb above) v).

Lemma least_enough : forall (above : bool) v vs,
  (if above then truth (Rlt_dec 0 (extreme false v vs)) else truth (Rle_dec 0 (extreme false v vs))) =
  forallb (enough above) (v :: vs).
Proof.
  intros a v vs. assert (E : forall w, (if a then truth (Rlt_dec 0 w) else truth (Rle_dec 0 w)) = enough a w).
  { intros w. unfold enough, at_most_zero, truth. destruct a; cbn [negb];
      [destruct (Rlt_dec 0 w), (Rle_dec w 0)|destruct (Rle_dec 0 w), (Rlt_dec w 0)]; try reflexivity; exfalso; lra. }
  rewrite E. revert v. induction vs as [|w vs IH]; intros v; cbn [extreme forallb]; [rewrite andb_true_r; reflexivity|].
  specialize (IH w). cbn [forallb] in IH. rewrite <- IH. set (m := extreme false w vs).
  unfold enough, at_most_zero, truth, pick. destruct a; cbn [negb].
  - unfold Rmin; destruct (Rle_dec v m); destruct (Rle_dec v 0), (Rle_dec m 0); try reflexivity; exfalso; lra.
  - unfold Rmin; destruct (Rle_dec v m); destruct (Rlt_dec v 0), (Rlt_dec m 0); try reflexivity; exfalso; lra.
Qed.

Lemma margins_exact : forall above es ms, lower_margins above es = Some ms ->
  Forall2 (decides x) ms (map (fun e => option_map (enough above) (value s e)) es).
Proof.
  intros a es. induction es as [|e es IH]; intros ms E; cbn [lower_margins fold_right map] in *.
  - inversion E; subst. constructor.
  - destruct (lower_expr e) as [bs|] eqn:Le1; [|discriminate]. fold (lower_margins a es) in E.
    destruct (lower_margins a es) as [ds|]; [|discriminate]. cbn [with_] in E. inversion E; subst ms.
    constructor; [|exact (IH ds eq_refl)]. unfold lower_margin.
    apply (decide_decides x (at_ x) bs _ _ _ (proj1 exact e bs Le1)). intros p. unfold enough. split; cbn [fst snd].
    + rewrite (over_sound b x Hb). destruct (at_most_zero _ _); cbn; split; congruence.
    + rewrite (below_sound b x Hb). destruct (at_most_zero _ _); cbn; split; congruence.
Qed.

Lemma met_known : forall r, met r s = known (holds s (demand r) ::
  map (fun e => option_map (enough (above r)) (value s e)) (margins r)).
Proof.
  intros r. unfold met. change (known (holds s (demand r) :: _)) with (with_ (holds s (demand r)) (fun t =>
    with_ (known (map (fun e => option_map (enough (above r)) (value s e)) (margins r))) (fun u => Some (t && u)))).
  destruct (holds s (demand r)) as [d|]; [|reflexivity]. cbn [with_].
  assert (K : known (map (fun e => option_map (enough (above r)) (value s e)) (margins r)) =
    option_map (forallb (enough (above r))) (values s (margins r))).
  { induction (margins r) as [|e es IH]; [reflexivity|]. cbn [map values fold_right known]. fold (values s es).
    fold (known (map (fun e => option_map (enough (above r)) (value s e)) es)). rewrite IH.
    destruct (value s e), (values s es); reflexivity. }
  rewrite K. destruct (values s (margins r)) as [[|v vs]|]; cbn [with_ option_map]; try reflexivity.
  - rewrite andb_true_r. reflexivity.
  - rewrite least_enough. reflexivity.
Qed.

Theorem lower_rule_exact : forall r l, lower_rule r = Some l ->
  (holds s (scope r) = Some true <-> sat (applies l) x) /\ (holds s (scope r) = Some false <-> sat (exempt l) x) /\
  (answer r s = Some true <-> sat (complies l) x) /\ (answer r s = Some false <-> sat (violates l) x).
Proof.
  intros r l E. unfold lower_rule in E. destruct exact as [_ K].
  destruct (lower_cond (scope r)) as [sc|] eqn:E1; [|discriminate].
  destruct (lower_cond (when_ r)) as [w|] eqn:E2; [|discriminate].
  destruct (lower_cond (demand r)) as [d|] eqn:E3; [|discriminate].
  destruct (lower_margins (above r) (margins r)) as [ms|] eqn:E4; [|discriminate].
  cbn [with_] in E. inversion E; subst l; clear E. cbn [applies exempt complies violates].
  destruct (K _ _ E1) as [S1 S2]. split; [exact S1|]. split; [exact S2|].
  assert (M := all_known_decides x _ _ (Forall2_cons _ _ (K _ _ E3) (margins_exact _ _ _ E4))).
  rewrite <- met_known in M.
  assert (W : decides x (snd w, fst w) (option_map negb (holds s (when_ r)))).
  { destruct (K _ _ E2) as [W1 W2]. split; cbn [fst snd]; [rewrite <- W2|rewrite <- W1];
      destruct (holds s (when_ r)) as [[|]|]; cbn; split; congruence. }
  assert (B := or_else_decides x _ _ _ _ W M). unfold decides in B. cbn [fst snd] in B |- *. unfold answer.
  destruct (holds s (when_ r)) as [[|]|]; exact B.
Qed.

(** The four facts tell the verdict. *)
Corollary lower_rule_judges : forall r l, lower_rule r = Some l ->
  (judge r s = Complies <-> sat (applies l) x /\ sat (complies l) x) /\
  (judge r s = Violates <-> sat (applies l) x /\ sat (violates l) x) /\
  (judge r s = NotApplicable <-> sat (exempt l) x).
Proof.
  intros r l E. destruct (lower_rule_exact r l E) as (S1 & S2 & B1 & B2). rewrite <- S1, <- S2, <- B1, <- B2. unfold judge.
  destruct (holds s (scope r)) as [[|]|]; destruct (answer r s) as [[|]|]; intuition (congruence || discriminate).
Qed.
End Lower.

Print Assumptions lower_rule_judges.
