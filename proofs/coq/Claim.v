(** * Claims as bytes: the strict decoder, and the theorem about whole files

    A claim is a problem and a certificate in one string of bytes, in the form that [docs/architecture.md] lays down.
    [verify] decodes, checks the form of the problem as [proofs/checker/certificate.py] does, and checks the
    certificate. *)
Require Import ZArith Reals List Lia Bool.
From Lexwatt Require Import Certificate.
Import ListNotations.
Open Scope Z_scope.

Definition parser (T : Type) := list Z -> option (T * list Z).

Definition ret {T} (v : T) : parser T := fun s => Some (v, s).
Definition bind {T U} (p : parser T) (f : T -> parser U) : parser U :=
  fun s => match p s with Some (v, r) => f v r | None => None end.
Definition fail {T} : parser T := fun _ => None.
Notation "v <- p ; q" := (bind p (fun v => q)) (at level 60, p at next level, right associativity).
Definition guard (b : bool) : parser unit := if b then ret tt else fail.

Definition byte : parser Z := fun s => match s with [] => None | b :: r => Some (b, r) end.

(** Seven bits a byte, low first, no padding, at most 586 bytes. *)
Fixpoint digits (fuel : nat) (first : bool) : parser Z :=
  match fuel with
  | 0%nat => fail
  | S n =>
      b <- byte;
      if b <? 128 then (_ <- guard (first || negb (b =? 0)); ret b)
      else (rest <- digits n false; ret (b - 128 + 128 * rest))
  end.
Definition longest := Z.to_nat 586.
Definition number : parser Z := digits longest true.

Definition signed : parser Z :=
  v <- number;
  let r := if Z.odd v then - (v / 2) - 1 else v / 2 in
  _ <- guard (bearable r); ret r.

Definition position : parser nat := v <- number; _ <- guard (v <? positions); ret (Z.to_nat v).

(** In a loop once extracted: a browser's stack does not hold the items of a claim of some ten thousand bytes. *)
Fixpoint times {T} (fuel : nat) (count : Z) (p : parser T) (found : list T) (s : list Z) : option (list T * list Z) :=
  match fuel with
  | 0%nat => None
  | S n =>
      if count =? 0 then Some (rev' found, s)
      else match p s with Some (v, r) => times n (count - 1) p (v :: found) r | None => None end
  end.
(** A count and that many items. [fuel] is more than the bytes there are, and each item takes at least one. *)
Definition many {T} (fuel : nat) (p : parser T) : parser (list T) := c <- number; times fuel c p [].

Fixpoint ascending (least_ : Z) (ts : terms) (n : Z) : bool :=
  match ts with
  | [] => true
  | (i, a) :: r => (least_ <? Z.of_nat i) && (Z.of_nat i <? n) && negb (a =? 0) && ascending (Z.of_nat i) r n
  end.

Definition pair_ : parser (nat * Z) := i <- position; a <- signed; ret (i, a).
Definition terms_ (fuel : nat) (n : Z) : parser terms :=
  ts <- many fuel pair_; _ <- guard (ascending (-1) ts n); ret ts.

Fixpoint fact_ (depth fuel : nat) (n : Z) : parser fact :=
  match depth with
  | 0%nat => fail
  | S d =>
      k <- byte;
      if k =? 0 then
        s <- byte; _ <- guard ((s =? 0) || (s =? 1));
        ts <- terms_ fuel n; b <- signed; ret (L (Row ts b (s =? 1)))
      else if k =? 1 then (fs <- many fuel (fact_ d fuel n); ret (A fs))
      else if k =? 2 then (fs <- many fuel (fact_ d fuel n); ret (O fs))
      else fail
  end.

Fixpoint tree_ (depth fuel : nat) (n : Z) : parser tree :=
  match depth with
  | 0%nat => fail
  | S d =>
      k <- byte;
      if k =? 0 then (ms <- many fuel pair_; _ <- guard (ascending (-1) ms positions); ret (F ms))
      else if k =? 1 then (i <- position; ts <- many fuel (tree_ d fuel n); ret (Sp i ts))
      else if k =? 2 then (i <- position; c <- signed; t <- tree_ d fuel n; u <- tree_ d fuel n; ret (I i c t u))
      else if k =? 3 then
        (ts <- terms_ fuel n; b <- signed; t <- tree_ d fuel n; u <- tree_ d fuel n; ret (C ts b t u))
      else if k =? 4 then (i <- signed; j <- signed; t <- tree_ d fuel n; ret (P i j t))
      else if k =? 5 then ret X
      else fail
  end.

Definition end_ (there : bool) : parser (option Z) :=
  if there then (v <- signed; ret (Some v)) else ret None.
Definition ends_ : parser ends :=
  f <- byte; _ <- guard (f <? 4);
  l <- end_ (Z.odd f); h <- end_ (2 <=? f); ret (l, h).

Definition product_ : parser (nat * nat * nat) := w <- position; i <- position; j <- position; ret (w, i, j).

Definition magic := [76; 87; 67; 49].   (* "LWC1" *)
Fixpoint expect (bs : list Z) : parser unit :=
  match bs with [] => ret tt | b :: r => (c <- byte; _ <- guard (b =? c); expect r) end.

Definition deepest := Z.to_nat 201.

Definition claim_ (fuel : nat) : parser (problem * tree) :=
  _ <- expect magic;
  b <- many fuel ends_;
  let n := Z.of_nat (length b) in
  _ <- guard (n <=? positions);
  is <- many fuel position;
  ps <- many fuel product_;
  fs <- many fuel (fact_ deepest fuel n);
  t <- tree_ deepest fuel n;
  ret (Problem b is ps fs, t).

(** The form of a problem: [proofs/checker/certificate.py], [check_problem]. *)
Definition corners (e f : ends) : option (Z * Z) :=
  match e, f with
  | (Some a, Some b), (Some c, Some d) =>
      Some (Z.min (Z.min (a * c) (a * d)) (Z.min (b * c) (b * d)),
            Z.max (Z.max (a * c) (a * d)) (Z.max (b * c) (b * d)))
  | _, _ => None
  end.

Definition roomy (e : ends) (c : option (Z * Z)) : bool :=
  match fst e, c with None, _ => true | Some l, Some (m, _) => l <=? m | Some _, None => false end &&
  match snd e, c with None, _ => true | Some h, Some (_, m) => m <=? h | Some _, None => false end.

Fixpoint rising (least_ : Z) (is : list nat) (n : Z) : bool :=
  match is with
  | [] => true
  | i :: r => (least_ <? Z.of_nat i) && (Z.of_nat i <? n) && rising (Z.of_nat i) r n
  end.

Fixpoint distinct (ps : products) : bool :=
  match ps with
  | [] => true
  | (w, i, j) :: r =>
      forallb (fun q => match q with (v, a, b) => negb (Nat.eqb v w) && negb (Nat.eqb a i && Nat.eqb b j) end) r &&
      distinct r
  end.

Definition product_formed (p : problem) (q : nat * nat * nat) : bool :=
  match q with
  | (w, i, j) =>
      let isnt v := negb (existsb (fun r => match r with (u, _, _) => Nat.eqb u v end) (made p)) in
      match nth_error (bounds p) w, nth_error (bounds p) i, nth_error (bounds p) j with
      | Some e, Some f, Some g => Nat.leb i j && isnt i && isnt j && roomy e (corners f g)
      | _, _, _ => false
      end
  end.

Definition formed (p : problem) : bool :=
  rising (-1) (ints p) (Z.of_nat (length (bounds p))) && distinct (made p) && forallb (product_formed p) (made p).

Fixpoint size (t : tree) : Z :=
  match t with
  | F _ | X => 1
  | Sp _ ts => fold_right (fun u s => size u + s) 1 ts
  | I _ _ t u | C _ _ t u => 1 + size t + size u
  | P _ _ t => 1 + size t
  end.

Definition sum {T} (f : T -> Z) (l : list T) : Z := fold_right (fun v s => f v + s) 0 l.

(** Facts and terms, those that comparisons in a tree add included. *)
Fixpoint breadth (f : fact) : Z :=
  match f with
  | L c => 1 + Z.of_nat (length (left c))
  | A fs | O fs => 1 + sum breadth fs
  end.

Fixpoint compared (t : tree) : Z :=
  match t with
  | F _ | X => 0
  | Sp _ ts => sum compared ts
  | I _ _ t u => compared t + compared u
  | C ts _ t u => 1 + Z.of_nat (length ts) + compared t + compared u
  | P _ _ t => compared t
  end.

(** What a node has to do with, at most. *)
Definition extent (p : problem) (t : tree) : Z :=
  Z.of_nat (length (bounds p)) + Z.of_nat (length (made p)) + sum breadth (facts p) + compared t.

Definition largest := 4000000.
Definition nodes := 100000.
Definition work := 100000000.

(** How many bytes, and one more than that as fuel, in loops like [times]. *)
Fixpoint count (n : Z) (data : list Z) : Z := match data with [] => n | _ :: r => count (n + 1) r end.
Fixpoint fuel_of (n : nat) (data : list Z) : nat := match data with [] => n | _ :: r => fuel_of (S n) r end.

Definition decode (data : list Z) : option (problem * tree) :=
  match claim_ (fuel_of 1 data) data with
  | Some (c, []) =>
      let (p, t) := c in
      if formed p && (size t <=? nodes) && (size t * extent p t <=? work) then Some c else None
  | _ => None
  end.

Definition verify (data : list Z) : bool :=
  if count 0 data <=? largest
  then match decode data with Some (p, t) => refutes p t | None => false end
  else false.

(** Bytes that [verify] accepts decode to a problem that nothing satisfies. *)
Theorem verify_sound : forall data, verify data = true ->
  exists p t, decode data = Some (p, t) /\ forall x, ~ satisfies p x.
Proof.
  intros data H. unfold verify in H. destruct (count 0 data <=? largest); [|discriminate].
  destruct (decode data) as [[p t]|] eqn:E; [|discriminate]. exists p, t. split; [reflexivity|].
  exact (refutes_sound p t H).
Qed.

Print Assumptions verify_sound.
