(* [lexwattVerify(bytes)] for a page or for Node: a Uint8Array in, true or false out. *)
open Js_of_ocaml

let verify bytes =
  let data = Typed_array.String.of_uint8Array bytes in
  Js.bool (try Input.verify data with _ -> false)

let () = Js.export "lexwattVerify" (Js.wrap_callback verify)
