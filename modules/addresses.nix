# IPv4 addresses as numbers, and which one an agent gets. Pure.
{ lib }:
let
  inherit (lib)
    concatMapStringsSep
    fromHexString
    genList
    mod
    splitString
    toInt
    ;

  power = exponent: lib.foldl' (product: _: product * 2) 1 (genList (n: n) exponent);

  parse = text: lib.foldl' (sum: part: sum * 256 + toInt part) 0 (splitString "." text);

  show =
    number:
    concatMapStringsSep "." (shift: toString (mod (number / power shift) 256)) [
      24
      16
      8
      0
    ];

  part = "(0|[1-9][0-9]{0,2})";
  looksLikeSubnet = text: builtins.match "${part}([.]${part}){3}/(8|9|1[0-9]|2[0-9]|30)" text != null;

  # First and last usable address, and how many there are for agents: the first is the host's. What
  # is no subnet counts as another one, so that its assertion is what the admin gets to see.
  range =
    subnet:
    let
      parts = splitString "/" (if looksLikeSubnet subnet then subnet else "10.0.0.0/8");
      size = power (32 - toInt (builtins.elemAt parts 1));
      base = parse (builtins.head parts);
      start = base - mod base size;
    in
    {
      inherit start;
      host = start + 1;
      room = size - 3;
      last = start + size - 2;
    };
in
{
  isAddress =
    text:
    let
      parts = splitString "." text;
    in
    builtins.length parts == 4
    && builtins.all (number: builtins.match part number != null && toInt number < 256) parts;

  # With room for one agent at least.
  isSubnet =
    text: looksLikeSubnet text && show ((range text).start) == builtins.head (splitString "/" text);

  isWithin =
    subnet: address:
    let
      inside = range subnet;
      number = parse address;
    in
    inside.host < number && number <= inside.last;

  # The agents' addresses, as numbers.
  space = subnet: {
    first = (range subnet).host + 1;
    inherit (range subnet) room;
  };

  hostOf = subnet: show (range subnet).host;

  # The same name has the same address for ever, whoever comes and goes beside it.
  derive =
    subnet: name:
    let
      digits = builtins.substring 0 12 (builtins.hashString "sha256" name);
      inside = range subnet;
    in
    show (inside.host + 1 + mod (fromHexString digits) inside.room);
}
