# The type of a settings format, as nixpkgs' pkgs-lib has it: JSON's values, null included.
{ lib }:
let
  inherit (lib) types;
in
name:
let
  value =
    types.nullOr (
      types.oneOf [
        types.bool
        types.int
        types.float
        types.str
        types.path
        (types.attrsOf value)
        (types.listOf value)
      ]
    )
    // {
      description = "${name} value";
    };
in
value
