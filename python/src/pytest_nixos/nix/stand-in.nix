# Stands in for nixpkgs' packages where only its `lib` is there. Nothing of it can be built.
#
# A package has a name, a path that changes when its contents do, and the attributes it was made of.
{ lib }:
let
  inherit (lib) genAttrs isFunction mapAttrs;

  derivation =
    name: attrs:
    let
      contents = builtins.hashString "sha256" (
        builtins.toJSON [
          name
          (attrs.contents or "")
        ]
      );
      # The store's alphabet has no e.
      digits = builtins.replaceStrings [ "e" ] [ "z" ] (builtins.substring 0 32 contents);
      outPath = "/nix/store/${digits}-${name}";
      result = {
        pname = name;
        version = "0";
      }
      // attrs
      // (attrs.passthru or { })
      // {
        type = "derivation";
        inherit name outPath;
        drvPath = "${outPath}.drv";
        outputs = [ "out" ];
        outputName = "out";
        out = result;
        override = _: result;
        overrideAttrs = _: result;
        meta = {
          mainProgram = attrs.pname or name;
        }
        // (attrs.meta or { });
      };
    in
    result;

  # What a builder is given: attributes, or a function of the finished ones.
  build =
    argument:
    let
      attrs = if isFunction argument then argument (build argument) else argument;
      name = attrs.name or "${attrs.pname}-${attrs.version or "0"}";
      override = change: build (attrs // change attrs);
    in
    derivation name (
      {
        contents = builtins.toJSON (shown (removeAttrs attrs unshown));
      }
      // attrs
    )
    // {
      overrideAttrs = override;
      overridePythonAttrs = override;
    };

  # What makes no difference to a stand-in's path, or would take what only nixpkgs has.
  unshown = [
    "build-system"
    "dependencies"
    "meta"
    "passthru"
  ];

  # What goes into a path: sources by their place, since hashing them all would take long.
  shown =
    value:
    if isFunction value then
      "<function>"
    else if builtins.isPath value then
      toString value
    else if builtins.isList value then
      map shown value
    else if lib.isDerivation value then
      value.outPath
    else if value ? origSrc then
      toString value.origSrc
    else if builtins.isAttrs value then
      mapAttrs (_: shown) value
    else
      value;

  text = name: contents: derivation name { inherit contents; };

  format = name: _: {
    type = (import ./json-type.nix { inherit lib; }) name;
    generate =
      file: value:
      derivation file {
        contents = builtins.toJSON value;
        inherit value;
      };
  };

  builders = {
    inherit lib build;
    buildPythonApplication = build;
    buildPythonPackage = build;
    fetchPypi = attrs: derivation "${attrs.pname}-${attrs.version}.tar.gz" attrs;
    formats = genAttrs [
      "ini"
      "json"
      "toml"
      "yaml"
    ] format;
    linkFarm = name: entries: derivation name { contents = builtins.toJSON (shown entries); };
    mkShell = attrs: build ({ name = "shell"; } // attrs);
    mkShellNoCC = builders.mkShell;
    runCommand =
      name: attrs: contents:
      derivation name (attrs // { inherit contents; });
    runCommandLocal = builders.runCommand;
    symlinkJoin = build;
    path = "/nix/store/00000000000000000000000000000000-nixpkgs";
    writeScript = text;
    writeScriptBin = text;
    writeShellApplication = attrs: derivation attrs.name (attrs // { contents = attrs.text; });
    writeShellScript = text;
    writeShellScriptBin = text;
    writeText = text;
    writeTextDir = path: text (baseNameOf path);
    writeTextFile = attrs: derivation attrs.name (attrs // { contents = attrs.text; });
  };

  # Every argument that the caller does not give is a package of that name.
  callPackageWith =
    scope: package: given:
    let
      function = if isFunction package then package else import package;
      wanted = builtins.functionArgs function;
    in
    function (mapAttrs (name: _: given.${name} or scope.${name} or (derivation name { })) wanted);

  scope =
    names:
    let
      packages = genAttrs names (name: derivation name { }) // builders // extra;
      extra = {
        callPackage = callPackageWith packages;
        newScope = more: callPackageWith (packages // more);
        python3 = interpreter;
        python3Packages = interpreter.pkgs;
        stdenv = {
          mkDerivation = build;
          hostPlatform = {
            isLinux = true;
            system = "x86_64-linux";
          };
        };
        system = "x86_64-linux";
      };
      # `override` takes overrides of Python packages, as nixpkgs' does.
      interpreter = python (_: _: { });
      python =
        overrides:
        let
          pkgs =
            packages
            // {
              callPackage = callPackageWith pkgs;
              python = self;
            }
            // overrides pkgs packages;
          self =
            derivation "python3" {
              inherit pkgs;
              pythonVersion = "3";
            }
            // {
              override =
                {
                  packageOverrides ? (_: _: { }),
                  ...
                }:
                python packageOverrides;
              withPackages = choose: derivation "python3-env" { contents = builtins.toJSON (choose pkgs); };
            };
        in
        self;
    in
    packages;
in
{
  inherit callPackageWith derivation;
  pkgs = scope;
}
