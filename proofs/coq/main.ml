(* lexwatt-check FILE...     verifies claims; exit code 0 when each is verified, 1 when not
   lexwatt-check --batch     one claim a line on standard input, in hexadecimal; prints 1 or 0 for each *)
let unhex line = String.init (String.length line / 2) (fun i -> Char.chr (int_of_string ("0x" ^ String.sub line (2 * i) 2)))

let read path =
  let channel = open_in_bin path in
  let data = really_input_string channel (in_channel_length channel) in
  close_in channel;
  data

let () =
  match Array.to_list Sys.argv with
  | [ _; "--batch" ] -> (
      try
        while true do
          print_endline (if Input.verify (unhex (input_line stdin)) then "1" else "0")
        done
      with End_of_file -> ())
  | _ :: (_ :: _ as paths) ->
      let good path =
        let found = try Input.verify (read path) with Sys_error why -> prerr_endline why; false in
        print_endline (path ^ (if found then ": verified" else ": NOT VERIFIED"));
        found
      in
      exit (if List.for_all Fun.id (List.map good paths) then 0 else 1)
  | _ ->
      prerr_endline "usage: lexwatt-check FILE... | --batch";
      exit 2
