(** * Facts put together, and branches

    What [Lower] is made of. Branches of a value say by facts when, and then what; they are a list of alternatives that
    agree wherever several hold. A condition is two facts, one for true and one for false. *)
Require Import Reals List Bool.
From Lexwatt Require Import Certificate Core.
Import ListNotations.

(** ** Facts put together *)

Definition yes := A [].
Definition no := O [].

Definition join (f g : fact) : fact :=
  match f, g with
  | A [], _ => g
  | _, A [] => f
  | O [], _ => no
  | _, O [] => no
  | A fs, A gs => A (fs ++ gs)
  | A fs, _ => A (fs ++ [g])
  | _, A gs => A (f :: gs)
  | _, _ => A [f; g]
  end.

Definition meet (f g : fact) : fact :=
  match f, g with
  | O [], _ => g
  | _, O [] => f
  | A [], _ => yes
  | _, A [] => yes
  | O fs, O gs => O (fs ++ gs)
  | O fs, _ => O (fs ++ [g])
  | _, O gs => O (f :: gs)
  | _, _ => O [f; g]
  end.

Lemma sat_all : forall fs x, sat (A fs) x <-> Forall (fun f => sat f x) fs.
Proof.
  induction fs as [|f fs IH]; intros x; [split; constructor|]. specialize (IH x). cbn [sat fold_right] in *.
  rewrite IH. split; [intros [H K]; constructor; assumption|intros H; inversion H; split; assumption].
Qed.

Lemma sat_any : forall fs x, sat (O fs) x <-> Exists (fun f => sat f x) fs.
Proof.
  induction fs as [|f fs IH]; intros x; [split; [intros []|intros H; inversion H]|].
  specialize (IH x). cbn [sat fold_right] in *. rewrite IH. rewrite Exists_cons. reflexivity.
Qed.

Lemma sat_join : forall f g x, sat (join f g) x <-> sat f x /\ sat g x.
Proof.
  intros f g x. unfold join, no.
  destruct f as [c|[|f fs]|[|f fs]]; destruct g as [d|[|g gs]|[|g gs]];
    rewrite ?sat_all, ?sat_any, ?Forall_app, ?Forall_cons_iff, ?Forall_nil_iff, ?Exists_cons, ?Exists_nil, ?Forall_app,
      ?Forall_cons_iff, ?Forall_nil_iff; rewrite ?sat_all, ?sat_any, ?Forall_cons_iff, ?Exists_cons, ?Exists_nil; tauto.
Qed.

Lemma sat_meet : forall f g x, sat (meet f g) x <-> sat f x \/ sat g x.
Proof.
  intros f g x. unfold meet, yes.
  destruct f as [c|[|f fs]|[|f fs]]; destruct g as [d|[|g gs]|[|g gs]];
    rewrite ?sat_all, ?sat_any, ?Exists_app, ?Exists_cons, ?Exists_nil, ?Forall_cons_iff, ?Forall_nil_iff, ?Exists_app,
      ?Exists_cons, ?Exists_nil; rewrite ?sat_all, ?sat_any, ?Forall_cons_iff, ?Exists_cons, ?Exists_nil; tauto.
Qed.

Lemma sat_yes : forall x, sat yes x. Proof. exact (fun _ => Logic.I). Qed.
Lemma sat_no : forall x, ~ sat no x. Proof. exact (fun _ H => H). Qed.

Definition every (fs : list fact) : fact := fold_right join yes fs.
Definition some (fs : list fact) : fact := fold_right meet no fs.

Lemma sat_every : forall fs x, sat (every fs) x <-> Forall (fun f => sat f x) fs.
Proof.
  intros fs x. induction fs as [|f fs IH]; cbn [every fold_right]; [split; constructor|].
  rewrite sat_join, Forall_cons_iff, <- IH. reflexivity.
Qed.

Lemma sat_some : forall fs x, sat (some fs) x <-> Exists (fun f => sat f x) fs.
Proof.
  intros fs x. induction fs as [|f fs IH]; cbn [some fold_right]; [split; [intros []|intros H; inversion H]|].
  rewrite sat_meet, Exists_cons, <- IH. reflexivity.
Qed.

(** ** Branches *)

Definition branches (T : Type) := list (fact * T).

(** The branches whose fact holds give the value, and some fact holds where there is a value. *)
Definition means {T V} (den : T -> V) (x : valuation) (bs : branches T) (v : option V) : Prop :=
  forall w, v = Some w <-> exists g t, In (g, t) bs /\ sat g x /\ den t = w.

Definition only {T} (t : T) : branches T := [(yes, t)].
Definition under {T} (g : fact) (bs : branches T) : branches T :=
  match g with O [] => [] | _ => map (fun b => (join g (fst b), snd b)) bs end.

Fixpoint bind {T U} (bs : branches T) (f : T -> option (branches U)) : option (branches U) :=
  match bs with
  | [] => Some []
  | (g, t) :: r => with_ (f t) (fun cs => with_ (bind r f) (fun ds => Some (under g cs ++ ds)))
  end.

Section Branches.
Context {T V U W : Type}.
Variable x : valuation.

Lemma in_under : forall g (bs : branches T) h t,
  (exists k, In (k, t) (under g bs) /\ sat k x /\ h = tt) <-> sat g x /\ exists k, In (k, t) bs /\ sat k x.
Proof.
  intros g bs h t. destruct h.
  assert (D : g = no \/ under g bs = map (fun b => (join g (fst b), snd b)) bs)
    by (destruct g as [c|fs|[|f fs]]; auto).
  destruct D as [D|D]; rewrite D.
  - split; [intros (k & [] & _)|intros (H & _); destruct (sat_no x H)].
  - split.
    + intros (k & Hi & Hk & _). apply in_map_iff in Hi. destruct Hi as ([k' t'] & E & Hi). cbn in E. inversion E; subst.
      apply sat_join in Hk. destruct Hk as [Hg Hk]. split; [exact Hg|]. exists k'. auto.
    + intros (Hg & k & Hi & Hk). exists (join g k). split; [|split; [apply sat_join; auto|reflexivity]].
      apply in_map_iff. exists (k, t). auto.
Qed.

Lemma under_in : forall g (bs : branches T) h t, In (h, t) (under g bs) -> sat h x -> sat g x.
Proof. intros g bs h t Hi Hh. exact (proj1 (proj1 (in_under g bs tt t) (ex_intro _ h (conj Hi (conj Hh eq_refl))))). Qed.

Lemma only_means : forall (den : T -> V) t, means den x (only t) (Some (den t)).
Proof.
  intros den t w. split.
  - intros E. inversion E; subst. exists yes, t. split; [left; reflexivity|]. split; [apply sat_yes|reflexivity].
  - intros (g & u & [E|[]] & _ & H). inversion E; subst. reflexivity.
Qed.

Lemma none_means : forall den : T -> V, means den x [] None.
Proof. intros den w. split; [discriminate|intros (? & ? & [] & _)]. Qed.
End Branches.

Lemma bind_means : forall {T V U W} (x : valuation) (den : T -> V) (den' : U -> W) f F bs ds v,
  means den x bs v -> (forall t cs, f t = Some cs -> means den' x cs (F (den t))) -> bind bs f = Some ds ->
  means den' x ds (with_ v F).
Proof.
  intros T V U W x den den' f F bs ds v Hv Hf E w.
  assert (H : (exists g u, In (g, u) ds /\ sat g x /\ den' u = w) <->
              exists h t, In (h, t) bs /\ sat h x /\ F (den t) = Some w).
  { clear Hv. revert ds E. induction bs as [|[h t] bs IH]; intros ds E; cbn [bind] in E.
    - inversion E; subst. split; intros (? & ? & [] & _).
    - destruct (f t) as [cs|] eqn:Ef; [|discriminate]. destruct (bind bs f) as [es|] eqn:Eb; [|discriminate].
      cbn [with_] in E. inversion E; subst ds; clear E. specialize (IH es eq_refl). specialize (Hf t cs Ef w). split.
      + intros (g & u & Hi & Hg & Hu). apply in_app_or in Hi. destruct Hi as [Hi|Hi].
        * destruct (proj1 (in_under x h cs tt u) (ex_intro _ g (conj Hi (conj Hg eq_refl)))) as (Hh & k & Hk & Hs).
          exists h, t. split; [left; reflexivity|]. split; [exact Hh|]. apply Hf. exists k, u. auto.
        * destruct (proj1 IH (ex_intro _ g (ex_intro _ u (conj Hi (conj Hg Hu))))) as (h' & t' & Hh & Hr).
          exists h', t'. split; [right; exact Hh|exact Hr].
      + intros (h' & t' & [Hi|Hi] & Hs & HF).
        * inversion Hi; subst h' t'. apply Hf in HF. destruct HF as (k & u & Hk & Hks & Hu).
          destruct (proj2 (in_under x h cs tt u) (conj Hs (ex_intro _ k (conj Hk Hks)))) as (g & Hg & Hgs & _).
          exists g, u. split; [apply in_or_app; left; exact Hg|auto].
        * destruct (proj2 IH (ex_intro _ h' (ex_intro _ t' (conj Hi (conj Hs HF))))) as (g & u & Hg & Hr).
          exists g, u. split; [apply in_or_app; right; exact Hg|exact Hr]. }
  rewrite H. clear H E Hf. split.
  - destruct v as [v|]; cbn [with_]; [|discriminate]. intros E. destruct (proj1 (Hv v) eq_refl) as (h & t & Hi & Hs & Ht).
    exists h, t. rewrite Ht. auto.
  - intros (h & t & Hi & Hs & HF). rewrite (proj2 (Hv (den t)) (ex_intro _ h (ex_intro _ t (conj Hi (conj Hs eq_refl))))).
    exact HF.
Qed.

Lemma under_means : forall {T V} (x : valuation) (den : T -> V) g bs v, means den x bs v -> sat g x ->
  means den x (under g bs) v.
Proof.
  intros T V x den g bs v H Hg w. rewrite (H w). split.
  - intros (k & t & Hi & Hk & Ht).
    destruct (proj2 (in_under x g bs tt t) (conj Hg (ex_intro _ k (conj Hi Hk)))) as (h & Hh & Hs & _). exists h, t. auto.
  - intros (k & t & Hi & Hk & Ht).
    destruct (proj1 (in_under x g bs tt t) (ex_intro _ k (conj Hi (conj Hk eq_refl)))) as (_ & h & Hh & Hs).
    exists h, t. auto.
Qed.

(** Branches whose common fact does not hold give nothing. *)
Lemma app_left : forall {T V} (x : valuation) (den : T -> V) g bs cs v, ~ sat g x -> means den x cs v ->
  means den x (under g bs ++ cs) v.
Proof.
  intros T V x den g bs cs v Hg H w. rewrite (H w). split; intros (k & t & Hi & Hk & Ht).
  - exists k, t. split; [apply in_or_app; right; exact Hi|auto].
  - apply in_app_or in Hi. destruct Hi as [Hi|Hi]; [|exists k, t; auto].
    destruct (proj1 (in_under x g bs tt t) (ex_intro _ k (conj Hi (conj Hk eq_refl)))) as (Hs & _). contradiction.
Qed.

Lemma app_right : forall {T V} (x : valuation) (den : T -> V) g bs cs v, ~ sat g x -> means den x cs v ->
  means den x (cs ++ under g bs) v.
Proof.
  intros T V x den g bs cs v Hg H w. etransitivity; [exact (app_left x den g bs cs v Hg H w)|].
  split; intros (k & t & Hi & Hr); exists k, t; (split; [|exact Hr]); apply in_or_app; apply in_app_or in Hi; tauto.
Qed.

(** ** Two facts for a condition: where it is true and where it is false *)

Definition pair_of_facts := (fact * fact)%type.

Definition decides (x : valuation) (d : pair_of_facts) (v : option bool) : Prop :=
  (v = Some true <-> sat (fst d) x) /\ (v = Some false <-> sat (snd d) x).

Definition decide {T} (bs : branches T) (k : T -> pair_of_facts) : pair_of_facts :=
  (some (map (fun b => join (fst b) (fst (k (snd b)))) bs), some (map (fun b => join (fst b) (snd (k (snd b)))) bs)).

Lemma decide_decides : forall {T V} x (den : T -> V) bs v k (test : V -> bool), means den x bs v ->
  (forall t, decides x (k t) (Some (test (den t)))) -> decides x (decide bs k) (option_map test v).
Proof.
  intros T V x den bs v k test H K.
  assert (G : forall b part, (forall t, test (den t) = b <-> sat (part (k t)) x) ->
    (option_map test v = Some b <-> sat (some (map (fun c => join (fst c) (part (k (snd c)))) bs)) x)).
  { intros b part Hp. rewrite sat_some, Exists_exists. split.
    - destruct v as [v|]; cbn [option_map]; [|discriminate]. intros E. injection E as E'.
      destruct (proj1 (H v) eq_refl) as (g & t & Hi & Hg & Ht).
      exists (join g (part (k t))). split; [apply in_map_iff; exists (g, t); auto|].
      apply sat_join. split; [exact Hg|]. apply Hp. rewrite Ht. exact E'.
    - intros (f & Hi & Hf). apply in_map_iff in Hi. destruct Hi as ([g t] & <- & Hi). cbn [fst snd] in Hf.
      apply sat_join in Hf. destruct Hf as [Hg Ht]. apply Hp in Ht.
      rewrite (proj2 (H (den t)) (ex_intro _ g (ex_intro _ t (conj Hi (conj Hg eq_refl))))). cbn. rewrite Ht. reflexivity. }
  split; apply G; intros t; destruct (K t) as [K1 K2]; [rewrite <- K1|rewrite <- K2];
    (split; [intros ->; reflexivity|intros E; inversion E; reflexivity]).
Qed.

(** The first, and where it is true the second; the first, and where it is false the second. *)
Definition and_then (d e : pair_of_facts) : pair_of_facts :=
  (join (fst d) (fst e), meet (snd d) (join (fst d) (snd e))).
Definition or_else (d e : pair_of_facts) : pair_of_facts :=
  (meet (fst d) (join (snd d) (fst e)), join (snd d) (snd e)).

Ltac pairs :=
  unfold decides, and_then, or_else; cbn [fst snd]; rewrite ?sat_meet, ?sat_join, ?sat_meet, ?sat_join;
  intros [? ?] [? ?];
  repeat match goal with H : _ <-> _ |- _ => rewrite <- H; clear H end;
  repeat match goal with v : option bool |- _ => destruct v as [[|]|] end; cbn;
  intuition (congruence || discriminate).

Lemma and_then_decides : forall x d e v w, decides x d v -> decides x e w ->
  decides x (and_then d e) (with_ v (fun t => if t then w else Some false)).
Proof. intros x d e v w. pairs. Qed.

Lemma or_else_decides : forall x d e v w, decides x d v -> decides x e w ->
  decides x (or_else d e) (with_ v (fun t => if t then Some true else w)).
Proof. intros x d e v w. pairs. Qed.

(** All of them, each of which must be known. *)
Definition known (vs : list (option bool)) : option bool :=
  fold_right (fun v r => with_ v (fun t => with_ r (fun u => Some (t && u)))) (Some true) vs.
Definition all_known (ds : list pair_of_facts) : pair_of_facts :=
  (every (map fst ds), join (every (map (fun d => meet (fst d) (snd d)) ds)) (some (map snd ds))).

Lemma all_known_decides : forall x ds vs, Forall2 (decides x) ds vs -> decides x (all_known ds) (known vs).
Proof.
  intros x ds vs H.
  assert (G : (known vs = Some true <-> sat (fst (all_known ds)) x) /\
    (known vs <> None <-> sat (every (map (fun d => meet (fst d) (snd d)) ds)) x) /\
    (known vs <> None -> (known vs = Some false <-> sat (some (map snd ds)) x))).
  { induction H as [|d v ds vs [T F] _ (H1 & H2 & H3)]; cbn [known fold_right all_known fst map every some].
    - split; [|split]; [split; [intros _; exact Logic.I|reflexivity]|split; [intros _; exact Logic.I|discriminate]|].
      intros _. split; [discriminate|intros []].
    - fold (known vs) (every (map fst ds)) (every (map (fun e => meet (fst e) (snd e)) ds)) (some (map snd ds)).
      cbn [all_known fst] in H1. rewrite !sat_join, !sat_meet, <- T, <- F, <- H1, <- H2.
      destruct v as [[|]|]; destruct (known vs) as [[|]|]; cbn; intuition (congruence || discriminate). }
  destruct G as (G1 & G2 & G3). split; [exact G1|]. cbn [all_known snd]. rewrite sat_join, <- G2.
  split; [intros E; assert (N : known vs <> None) by congruence; tauto|intros [N S]; tauto].
Qed.

Lemma told_decides : forall x (t : bool), decides x (if t then (yes, no) else (no, yes)) (Some t).
Proof. intros x [|]; split; cbn [fst snd]; split; (discriminate || reflexivity || (intros []) || (intros _; exact Logic.I)). Qed.
