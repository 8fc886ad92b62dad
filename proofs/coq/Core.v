(** * The meaning of core

    The tree of [compiler/core.py] for one moment, and what it says of a state, as [compiler/to_exact.py] says it. A
    state gives every quantity a real number in base units; quantities are named by their position in the vocabulary.
    [None] is "cannot tell": a table without a row for the state, a quotient by zero, a parameter nobody has chosen. What
    looks at rows or at a calendar, whole multiples and quantities that are missing are not in this tree. *)
Require Import ZArith QArith Qreals Reals List Bool Lra.
Import ListNotations.
Open Scope R_scope.

Inductive expr :=
  | Const (q : Q)
  | Param (chosen : option Q)
  | Var (i : nat)
  | Add (es : list expr)
  | Mul (e f : expr)
  | Div (e f : expr)
  | Extreme (greatest : bool) (es : list expr)
  | Piecewise (points : list (Q * Q)) (e : expr)
  | Case (cases : list (cond * expr)) (otherwise : option expr)
with cond :=
  | Le (e : expr) (strict : bool)      (* e <= 0, or e < 0 when strict *)
  | All (cs : list cond)
  | Any (cs : list cond).

Definition state := nat -> R.

(** ** Values *)

Definition with_ {T U} (v : option T) (f : T -> option U) : option U := match v with Some w => f w | None => None end.

Definition truth {P : Prop} (d : {P} + {~ P}) : bool := if d then true else false.

Definition at_most_zero (strict : bool) (v : R) : bool := if strict then truth (Rlt_dec v 0) else truth (Rle_dec v 0).

Definition pick (greatest : bool) (a b : R) : R := if greatest then Rmax a b else Rmin a b.
Fixpoint extreme (greatest : bool) (a : R) (vs : list R) : R :=
  match vs with [] => a | b :: r => pick greatest a (extreme greatest b r) end.

(** Straight between the points, flat beyond the ends. *)
Fixpoint curve_from (x0 y0 : Q) (points : list (Q * Q)) (at_ : R) : R :=
  match points with
  | [] => Q2R y0
  | (x1, y1) :: r =>
      if Rle_dec at_ (Q2R x1)
      then Q2R y0 + (Q2R y1 - Q2R y0) * (at_ - Q2R x0) / (Q2R x1 - Q2R x0)
      else curve_from x1 y1 r at_
  end.
Definition curve (points : list (Q * Q)) (at_ : R) : option R :=
  match points with
  | [] => None
  | (x0, y0) :: r => Some (if Rle_dec at_ (Q2R x0) then Q2R y0 else curve_from x0 y0 r at_)
  end.

Fixpoint value (s : state) (e : expr) {struct e} : option R :=
  let values := fold_right (fun f vs => with_ (value s f) (fun v => with_ vs (fun r => Some (v :: r)))) (Some []) in
  match e with
  | Const q => Some (Q2R q)
  | Param chosen => option_map Q2R chosen
  | Var i => Some (s i)
  | Add es => option_map (fold_right Rplus 0) (values es)
  | Mul f g => with_ (value s f) (fun v => with_ (value s g) (fun w => Some (v * w)))
  | Div f g => with_ (value s f) (fun v => with_ (value s g) (fun w => if Req_EM_T w 0 then None else Some (v / w)))
  | Extreme greatest es => with_ (values es) (fun vs => match vs with [] => None | v :: r => Some (extreme greatest v r) end)
  | Piecewise points f => with_ (value s f) (curve points)
  | Case cases otherwise =>
      fold_right (fun ce v => match ce with (c, f) => with_ (holds s c) (fun t => if t then value s f else v) end)
        (match otherwise with Some f => value s f | None => None end) cases
  end
with holds (s : state) (c : cond) {struct c} : option bool :=
  match c with
  | Le e strict => option_map (at_most_zero strict) (value s e)
  | All cs => fold_right (fun d v => with_ (holds s d) (fun t => if t then v else Some false)) (Some true) cs
  | Any cs => fold_right (fun d v => with_ (holds s d) (fun t => if t then Some true else v)) (Some false) cs
  end.

Definition values (s : state) (es : list expr) : option (list R) :=
  fold_right (fun f vs => with_ (value s f) (fun v => with_ vs (fun r => Some (v :: r)))) (Some []) es.

(** ** Rules *)

Record rule := Rule { scope : cond; when_ : cond; margins : list expr; above : bool; demand : cond }.
(** Where [scope] and [when_] hold, the margins must be at least zero ([above] zero) and [demand] must hold. *)

Definition met (r : rule) (s : state) : option bool :=
  with_ (holds s (demand r)) (fun d =>
  with_ (values s (margins r)) (fun vs =>
  match vs with
  | [] => Some d
  | v :: rest =>
      let least := extreme false v rest in
      Some (d && if above r then truth (Rlt_dec 0 least) else truth (Rle_dec 0 least))
  end)).

(** Whether what the rule asks, once it applies, is met. *)
Definition answer (r : rule) (s : state) : option bool :=
  with_ (holds s (when_ r)) (fun w => if w then met r s else Some true).

Inductive verdict := Complies | NotApplicable | Violates | CannotTell.

Definition judge (r : rule) (s : state) : verdict :=
  match holds s (scope r) with
  | None => CannotTell
  | Some false => NotApplicable
  | Some true => match answer r s with None => CannotTell | Some true => Complies | Some false => Violates end
  end.

(** ** Induction that sees through the lists *)

Definition maybe {T} (P : T -> Prop) (o : option T) : Prop := match o with Some v => P v | None => True end.

Section Induction.
  Variable P : expr -> Prop.
  Variable C : cond -> Prop.
  Hypothesis HConst : forall q, P (Const q).
  Hypothesis HParam : forall v, P (Param v).
  Hypothesis HVar : forall i, P (Var i).
  Hypothesis HAdd : forall es, Forall P es -> P (Add es).
  Hypothesis HMul : forall e f, P e -> P f -> P (Mul e f).
  Hypothesis HDiv : forall e f, P e -> P f -> P (Div e f).
  Hypothesis HExtreme : forall g es, Forall P es -> P (Extreme g es).
  Hypothesis HPiecewise : forall points e, P e -> P (Piecewise points e).
  Hypothesis HCase : forall cases otherwise, Forall (fun ce => C (fst ce) /\ P (snd ce)) cases ->
    maybe P otherwise -> P (Case cases otherwise).
  Hypothesis HLe : forall e strict, P e -> C (Le e strict).
  Hypothesis HAll : forall cs, Forall C cs -> C (All cs).
  Hypothesis HAny : forall cs, Forall C cs -> C (Any cs).

  Fixpoint expr_induction (e : expr) : P e :=
    let all := fix go l : Forall P l :=
      match l with [] => Forall_nil _ | f :: r => Forall_cons _ (expr_induction f) (go r) end in
    match e with
    | Const q => HConst q
    | Param v => HParam v
    | Var i => HVar i
    | Add es => HAdd es (all es)
    | Mul f g => HMul f g (expr_induction f) (expr_induction g)
    | Div f g => HDiv f g (expr_induction f) (expr_induction g)
    | Extreme g es => HExtreme g es (all es)
    | Piecewise points f => HPiecewise points f (expr_induction f)
    | Case cases otherwise =>
        HCase cases otherwise
          ((fix go l : Forall (fun ce => C (fst ce) /\ P (snd ce)) l :=
              match l with
              | [] => Forall_nil _
              | (c, f) :: r => Forall_cons (c, f) (conj (cond_induction c) (expr_induction f)) (go r)
              end) cases)
          (match otherwise as o return maybe P o with
           | Some f => expr_induction f
           | None => Logic.I
           end)
    end
  with cond_induction (c : cond) : C c :=
    let all := fix go l : Forall C l :=
      match l with [] => Forall_nil _ | d :: r => Forall_cons _ (cond_induction d) (go r) end in
    match c with
    | Le e strict => HLe e strict (expr_induction e)
    | All cs => HAll cs (all cs)
    | Any cs => HAny cs (all cs)
    end.
End Induction.

(** ** The extreme of a list *)

(** Whether [a] is at least as great (as small) as [b]. *)
Definition beats (greatest : bool) (a b : R) : Prop := if greatest then b <= a else a <= b.

Lemma pick_cases : forall g a b, (beats g a b -> pick g a b = a) /\ (beats g b a -> pick g a b = b).
Proof.
  intros [|] a b; unfold beats, pick; split; intros H;
    [apply Rmax_left|apply Rmax_right|apply Rmin_left|apply Rmin_right]; exact H.
Qed.

Lemma beats_extreme : forall g a vs b, beats g a (extreme g b vs) <-> Forall (beats g a) (b :: vs).
Proof.
  intros g a vs. induction vs as [|c vs IH]; intros b; cbn [extreme].
  - split; [intros H; repeat constructor; exact H|intros H; inversion H; assumption].
  - specialize (IH c). destruct (pick_cases g b (extreme g c vs)) as [P1 P2].
    assert (T : beats g b (extreme g c vs) \/ beats g (extreme g c vs) b) by (destruct g; unfold beats; lra).
    assert (Trans : forall u v w, beats g u v -> beats g v w -> beats g u w) by (intros; destruct g; unfold beats in *; lra).
    split.
    + intros H. destruct T as [T|T].
      * rewrite (P1 T) in H. constructor; [exact H|]. apply IH. exact (Trans _ _ _ H T).
      * rewrite (P2 T) in H. constructor; [exact (Trans _ _ _ H T)|]. apply IH. exact H.
    + intros H. inversion H as [|? ? Hb Hr]; subst. apply IH in Hr.
      destruct T as [T|T]; [rewrite (P1 T)|rewrite (P2 T)]; assumption.
Qed.
