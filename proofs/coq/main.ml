(* lexwatt-check FILE...     verifies claims; exit code 0 when each is verified, 1 when not
   lexwatt-check --batch     one claim a line on standard input, in hexadecimal; prints 1 or 0 for each *)
let () =
  match Array.to_list Sys.argv with
  | [ _; "--batch" ] -> Input.each_line (fun data -> if Input.verify data then "1" else "0")
  | _ :: (_ :: _ as paths) -> exit (Input.each_file Input.verify paths)
  | _ ->
      prerr_endline "usage: lexwatt-check FILE... | --batch";
      exit 2
