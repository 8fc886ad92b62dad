(* lexwatt-lower FILE...     checks that the facts in agreements mean their rules; exit code 0 when each does, 1 when not
   lexwatt-lower --batch     one agreement a line on standard input, in hexadecimal; prints 1 or 0 for each
   lexwatt-lower --facts     likewise; prints the four facts of the rule in hexadecimal, or - where there are none *)
let rec number = function Checker.XH -> 1 | Checker.XO p -> 2 * number p | Checker.XI p -> (2 * number p) + 1

let hex = function
  | Checker.Z0 -> "00"
  | Checker.Zpos p -> Printf.sprintf "%02x" (number p)
  | Checker.Zneg _ -> invalid_arg "a byte is not negative"

let facts data =
  match Checker.facts_of (Input.bytes data) with Some found -> String.concat "" (List.map hex found) | None -> "-"

let agrees data = Input.check Checker.agrees data

let () =
  match Array.to_list Sys.argv with
  | [ _; "--batch" ] -> Input.each_line (fun data -> if agrees data then "1" else "0")
  | [ _; "--facts" ] -> Input.each_line facts
  | _ :: (_ :: _ as paths) -> exit (Input.each_file agrees paths)
  | _ ->
      prerr_endline "usage: lexwatt-lower FILE... | --batch | --facts";
      exit 2
