(* Bytes to the checkers' own numbers: all of the hand-written code between a file and the proved functions. *)
let rec positive n =
  if n = 1 then Checker.XH
  else if n land 1 = 0 then Checker.XO (positive (n / 2))
  else Checker.XI (positive (n / 2))

let numbers = Array.init 256 (fun n -> if n = 0 then Checker.Z0 else Checker.Zpos (positive n))

let rec list data at rest = if at < 0 then rest else list data (at - 1) (numbers.(Char.code data.[at]) :: rest)

let bytes data = list data (String.length data - 1) []

(* Running out of stack is a failed check, never an accepted one. *)
let check proved data = try proved (bytes data) with Stack_overflow | Out_of_memory -> false

let verify data = check Checker.verify data

let unhex line = String.init (String.length line / 2) (fun i -> Char.chr (int_of_string ("0x" ^ String.sub line (2 * i) 2)))

let read path =
  let channel = open_in_bin path in
  let data = really_input_string channel (in_channel_length channel) in
  close_in channel;
  data

let each_line answer =
  try
    while true do
      print_endline (answer (unhex (input_line stdin)))
    done
  with End_of_file -> ()

let each_file check paths =
  let good path =
    let found = try check (read path) with Sys_error why -> prerr_endline why; false in
    print_endline (path ^ (if found then ": verified" else ": NOT VERIFIED"));
    found
  in
  if List.for_all Fun.id (List.map good paths) then 0 else 1
