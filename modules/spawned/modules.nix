# What the system of a spawned agent is made of: the guest that every agent has, and what its own
# configuration adds to it, which is programs and nothing else.
#
# `parameters` is what the host's configuration says of all of them, as spawned.nix writes it down;
# `configuration` is the directory of the commit. Whatever else an agent.nix could say would be one
# click away from root in the guest, so a key other than `packages` is refused.
{
  lib,
  parameters,
  name,
  configuration,
}:
let
  inherit (lib)
    attrNames
    concatStringsSep
    isAttrs
    isDerivation
    isFunction
    isList
    lowPrio
    ;
  inherit (parameters) hive agent;

  # What the host has built already. Evaluation is pure, so the store must be told that a path is
  # one of its own: without that, nothing would keep it from being collected.
  built =
    path: mainProgram:
    let
      self = {
        type = "derivation";
        name = builtins.substring 33 (-1) (baseNameOf path);
        outPath = builtins.appendContext path { ${path}.path = true; };
        outputName = "out";
        outputs = [ "out" ];
        out = self;
        meta = { inherit mainProgram; };
      };
    in
    self;

  file = configuration + "/agent.nix";

  programs =
    pkgs:
    let
      said = import file;
      chosen = if isFunction said then said { inherit lib pkgs; } else said;
      unknown = removeAttrs chosen [ "packages" ];
      packages = chosen.packages or [ ];
    in
    if !builtins.pathExists file then
      [ ]
    else if !isAttrs chosen then
      throw "agent.nix is no set: write { pkgs, ... }: { packages = [ pkgs.hello ]; }"
    else if unknown != { } then
      throw "agent.nix says ${concatStringsSep ", " (attrNames unknown)}, which is not a commit's to decide: it may say `packages`"
    else if !isList packages || !builtins.all isDerivation packages then
      throw "agent.nix: `packages` is a list of packages, such as [ pkgs.ripgrep ]"
    else
      # The hive's own programs come before one of the same name.
      map lowPrio packages;
in
[
  (import ../guest.nix {
    inherit name;
    cfg = hive // {
      package = built hive.package "hyperhive";
      agents = { };
      manager.stateAccess = "read-only";
    };
    agent = agent // {
      role = "worker";
      binds = [ ];
      nixDaemon = false;
      packages = map (path: built path null) agent.packages;
      driver = agent.driver // {
        package = if agent.driver.package == null then null else built agent.driver.package null;
      };
    };
    inherit (parameters) hostAddress;
    hostConfig.system.stateVersion = parameters.stateVersion;
  })
  (
    { pkgs, ... }:
    {
      environment.systemPackages = programs pkgs;

      # What it runs from, as files of the store: no directory of the host, which somebody could
      # exchange, has to be mounted for it.
      environment.etc."hyperhive/configuration".source = configuration;
      systemd.tmpfiles.settings."10-hyperhive"."/agents/${name}/config"."L+".argument =
        "/etc/hyperhive/configuration";
    }
  )
]
