(* Bytes to the checker's own numbers: all of the hand-written code between a file and the proved [verify]. *)
let rec positive n =
  if n = 1 then Checker.XH
  else if n land 1 = 0 then Checker.XO (positive (n / 2))
  else Checker.XI (positive (n / 2))

let numbers = Array.init 256 (fun n -> if n = 0 then Checker.Z0 else Checker.Zpos (positive n))

let rec list data at rest = if at < 0 then rest else list data (at - 1) (numbers.(Char.code data.[at]) :: rest)

(* Running out of stack is a failed check, never an accepted one. *)
let verify data =
  try Checker.verify (list data (String.length data - 1) []) with Stack_overflow | Out_of_memory -> false
