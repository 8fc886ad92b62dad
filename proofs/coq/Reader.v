(** * Core rules and agreements as bytes

    Numbers, ranges, facts and certificates are written as in claims ([Claim.v]); [proofs/agreement.py] writes the rest.
    [agrees] is the check of whole files. [facts_of] prints what the lowering gives: nobody has to trust the print, for
    [agrees] lowers again. *)
Require Import ZArith QArith Qreals Reals List Lia Bool.
From Lexwatt Require Import Certificate Claim Core Branches Polynomial Lower Agree.
Import ListNotations.
Open Scope Z_scope.

(** ** Reading *)

Definition flag : parser bool := k <- byte; _ <- guard ((k =? 0) || (k =? 1)); ret (k =? 1).
Definition rational : parser Q := n <- signed; d <- number; _ <- guard (0 <? d); ret (Qmake n (Z.to_pos d)).
Definition optional {T} (p : parser T) : parser (option T) :=
  there <- flag; if there then (v <- p; ret (Some v)) else ret None.
Definition point : parser (Q * Q) := u <- rational; v <- rational; ret (u, v).

Fixpoint expr_ (depth fuel : nat) : parser expr :=
  match depth with
  | 0%nat => fail
  | S d =>
      k <- byte;
      if k =? 0 then (q <- rational; ret (Const q))
      else if k =? 1 then (c <- optional rational; ret (Param c))
      else if k =? 2 then (i <- position; ret (Var i))
      else if k =? 3 then (es <- many fuel (expr_ d fuel); ret (Add es))
      else if k =? 4 then (e <- expr_ d fuel; f <- expr_ d fuel; ret (Mul e f))
      else if k =? 5 then (e <- expr_ d fuel; f <- expr_ d fuel; ret (Div e f))
      else if k =? 6 then (g <- flag; es <- many fuel (expr_ d fuel); ret (Extreme g es))
      else if k =? 7 then (ps <- many fuel point; e <- expr_ d fuel; ret (Piecewise ps e))
      else if k =? 8 then
        (cs <- many fuel (c <- cond_ d fuel; e <- expr_ d fuel; ret (c, e)); o <- optional (expr_ d fuel);
         ret (Case cs o))
      else fail
  end
with cond_ (depth fuel : nat) : parser cond :=
  match depth with
  | 0%nat => fail
  | S d =>
      k <- byte;
      if k =? 0 then (s <- flag; e <- expr_ d fuel; ret (Le e s))
      else if k =? 1 then (cs <- many fuel (cond_ d fuel); ret (All cs))
      else if k =? 2 then (cs <- many fuel (cond_ d fuel); ret (Any cs))
      else fail
  end.

Definition rule_ (fuel : nat) : parser rule :=
  s <- cond_ deepest fuel; w <- cond_ deepest fuel; ms <- many fuel (expr_ deepest fuel); a <- flag;
  d <- cond_ deepest fuel; ret (Rule s w ms a d).

Definition agreement_ (fuel : nat) : parser agreement :=
  _ <- expect [76; 87; 65; 49];   (* "LWA1" *)
  qs <- many fuel rational;
  b <- many fuel ends_;
  let n := Z.of_nat (length b) in
  _ <- guard (n <=? positions);
  ps <- many fuel product_;
  r <- rule_ fuel;
  f <- fact_ deepest fuel n;
  g <- fact_ deepest fuel n;
  ret (Agreement qs b ps r f g).

Definition certificates_ (fuel : nat) (n : Z) : parser (tree * tree * (tree * tree)) :=
  t <- tree_ deepest fuel n; u <- tree_ deepest fuel n; v <- tree_ deepest fuel n; w <- tree_ deepest fuel n;
  ret (t, u, (v, w)).

Definition read_agreement (data : list Z) : option (agreement * (tree * tree * (tree * tree))) :=
  let fuel := fuel_of 1 data in
  match (a <- agreement_ fuel; ts <- certificates_ fuel (Z.of_nat (length (ranges a))); ret (a, ts)) data with
  | Some (c, []) => Some c
  | _ => None
  end.

Definition agrees (data : list Z) : bool :=
  if count 0 data <=? largest
  then match read_agreement data with Some (a, ts) => shown a ts | None => false end
  else false.

(** Facts in a file that [agrees] accepts give the verdicts of the rule in it, in every state inside its ranges. *)
Theorem agrees_sound : forall data, agrees data = true ->
  exists a ts, read_agreement data = Some (a, ts) /\ forall s, in_ranges a s ->
    let x := valuation_of a s in
    (judge (asked a) s = NotApplicable <-> ~ sat (scope_fact a) x) /\
    (judge (asked a) s = Complies <-> sat (scope_fact a) x /\ sat (body_fact a) x).
Proof.
  intros data H. unfold agrees in H. destruct (count 0 data <=? largest); [|discriminate].
  destruct (read_agreement data) as [[a ts]|]; [|discriminate]. exists a, ts. split; [reflexivity|].
  exact (shown_sound a ts H).
Qed.

(** ** Printing *)

Fixpoint put_number (fuel : nat) (v : Z) : list Z :=
  match fuel with
  | 0%nat => []
  | S n => if v <? 128 then [v] else (128 + v mod 128) :: put_number n (v / 128)
  end.
Definition put_count (v : nat) : list Z := put_number longest (Z.of_nat v).
Definition put_signed (v : Z) : list Z := put_number longest (if v <? 0 then -2 * v - 1 else 2 * v).
Definition put_each {T} (f : T -> list Z) (l : list T) : list Z := put_count (length l) ++ flat_map f l.

Fixpoint put_fact (f : fact) : list Z :=
  match f with
  | L c =>
      0 :: (if strict c then 1 else 0) :: put_each (fun t => put_count (fst t) ++ put_signed (snd t)) (left c) ++
      put_signed (right c)
  | A fs => 1 :: put_count (length fs) ++ flat_map put_fact fs
  | O fs => 2 :: put_count (length fs) ++ flat_map put_fact fs
  end.

(** The four facts of the rule at the head of a file: applies, exempt, complies, violates. *)
Definition facts_of (data : list Z) : option (list Z) :=
  match agreement_ (fuel_of 1 data) data with
  | Some (a, _) =>
      option_map (fun l => flat_map put_fact [applies l; exempt l; complies l; violates l])
        (lower_rule (steps a) (table a) (ranges a) (asked a))
  | None => None
  end.

Print Assumptions agrees_sound.
