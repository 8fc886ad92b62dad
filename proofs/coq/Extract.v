(** The checkers as OCaml. Only booleans, options, pairs, lists and the unit become OCaml's own; numbers stay as Coq
    defines them, so that no arithmetic of another library has to be believed. *)
Require Import Extraction ExtrOcamlBasic.
From Lexwatt Require Import Claim Reader.
Extraction Language OCaml.
Extraction "checker.ml" verify agrees facts_of.
