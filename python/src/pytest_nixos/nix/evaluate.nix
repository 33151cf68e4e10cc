# Evaluates modules as the request says, and gives what Python reads as JSON.
#
# With all of nixpkgs it is a NixOS machine; with its `lib` alone, the stubs declare what NixOS would.
{ request }:
let
  lib = import <nixpkgs/lib>;
  inherit (lib)
    attrByPath
    concatStringsSep
    hasAttrByPath
    mapAttrs
    ;

  asked = builtins.fromJSON (builtins.readFile request);
  files = map (file: /. + file);

  configuration = {
    _file = "the configuration of the test";
    config = asked.config;
  };

  standIn = import ./stand-in.nix { inherit lib; };

  evaluated =
    if asked.nixos then
      import <nixpkgs/nixos/lib/eval-config.nix> {
        system = null;
        specialArgs = asked.args;
        modules = [ ./machine.nix ] ++ files asked.modules ++ [ configuration ];
      }
    else
      stubbed [ ] (files asked.modules ++ [ configuration ]);

  stubbed =
    prefix: modules:
    lib.evalModules {
      inherit prefix;
      specialArgs = asked.args // {
        pytestNixos = standIn // {
          inherit machine;
        };
      };
      modules = [ ./stubs.nix ] ++ files asked.stubs ++ modules;
    };

  # The type of an option that holds another machine, as `containers.<name>.config` of NixOS does.
  machine = lib.mkOptionType {
    name = "machine";
    description = "configuration of a machine";
    merge = path: definitions: (stubbed path (map (one: one.value) definitions)).config;
  };

  inherit (evaluated) options;

  # JSON has no functions, and a derivation is its path. Source paths stay what they are.
  plain =
    value:
    if builtins.isFunction value then
      "<function>"
    else if builtins.isPath value then
      toString value
    else if builtins.isList value then
      map plain value
    else if builtins.isAttrs value then
      if value ? outPath then
        builtins.unsafeDiscardStringContext "${value}"
      else if value ? __functor then
        "<function>"
      else
        mapAttrs (_: plain) (removeAttrs value [ "_module" ])
    else if builtins.isString value then
      builtins.unsafeDiscardStringContext value
    else
      value;

  # Looks at every value that the test's configuration sets: one of a wrong type is an error even if
  # nothing else reads it.
  checked =
    defined: value: rest:
    if builtins.isAttrs defined && builtins.isAttrs value then
      lib.foldl' (
        rest: name: if value ? ${name} then checked defined.${name} value.${name} rest else rest
      ) rest (builtins.attrNames defined)
    else if builtins.isList value then
      lib.foldl' (rest: one: builtins.seq one rest) rest value
    else
      builtins.seq value rest;

  at =
    path: set:
    if hasAttrByPath path set then
      attrByPath path null set
    else
      throw "There is no '${concatStringsSep "." path}' in what was evaluated.";

  # A message is only written for an assertion that fails; one that cannot be is no fault otherwise.
  assertion =
    { assertion, message, ... }:
    let
      written = builtins.tryEval message;
    in
    {
      holds = assertion;
      message = if assertion && !written.success then "" else plain message;
    };

  file = entry: {
    text = plain (entry.text or null);
    source = plain (entry.source or null);
    mode = entry.mode or "symlink";
    user = toString (entry.user or "root");
    group = toString (entry.group or "root");
  };

  enabled = lib.filterAttrs (_: entry: entry.enable or true);
  only =
    names:
    mapAttrs (
      _: entry:
      mapAttrs (name: _: plain entry.${name}) (
        builtins.intersectAttrs (lib.genAttrs names (_: null)) entry
      )
    );

  option =
    path:
    let
      found = at path options;
      quietly = value: (builtins.tryEval value).success;
    in
    {
      value = plain (at path evaluated.config);
      type = found.type.description or "";
      description = found.description or "";
      defined = found.isDefined;
      declarations = map toString (found.declarations or [ ]);
      default = if found ? default && quietly found.default then plain found.default else null;
    };

  documented =
    path:
    map
      (entry: {
        inherit (entry) name type;
        description = entry.description or "";
        readOnly = entry.readOnly or false;
        default = entry.default.text or null;
        example = entry.example.text or null;
      })
      (
        builtins.filter (entry: entry.visible != false && !entry.internal) (
          lib.optionAttrSetToDocList (at path options)
        )
      );

  units = import ./units.nix { inherit lib plain; };
in
checked asked.config evaluated.config (
  builtins.listToAttrs (
    map (
      {
        key,
        kind,
        path,
        within,
      }:
      let
        config = at within evaluated.config;
      in
      {
        name = key;
        value =
          {
            assertions = map assertion config.assertions;
            warnings = map plain config.warnings;
            units = if asked.nixos then units.rendered config else units.render config;
            files = mapAttrs (_: file) (enabled (config.environment.etc or { }));
            users = only [
              "createHome"
              "description"
              "extraGroups"
              "group"
              "home"
              "homeMode"
              "isNormalUser"
              "isSystemUser"
              "linger"
              "shell"
              "uid"
            ] (enabled (config.users.users or { }));
            groups = only [
              "gid"
              "members"
            ] (enabled (config.users.groups or { }));
            value = plain (at path config);
            option = option path;
            documented = documented path;
          }
          .${kind};
      }
    ) asked.wishes
  )
)
