# What the system of a spawned agent is made of: the guest that every agent has, and what its own
# configuration adds to it, which is programs and nothing else.
#
# `parameters` is what the host's configuration says of all of them, as spawned.nix writes it down;
# `configuration` is the directory of the commit. Its agent.nix is written as a module of NixOS is, but
# is none: of that only environment.systemPackages is let through, and the rest is refused, because
# anything else would be one click away from root in the guest.
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

  refuse =
    what:
    throw "agent.nix says ${what}: write { pkgs, ... }: { environment.systemPackages = [ pkgs.hello ]; }";

  # Every path of what it says, as far as it may go.
  refused =
    said:
    attrNames (removeAttrs said [ "environment" ])
    ++ map (name: "environment.${name}") (
      attrNames (removeAttrs (said.environment or { }) [ "systemPackages" ])
    );

  programs =
    pkgs:
    let
      written = import file;
      said = if isFunction written then written { inherit lib pkgs; } else written;
      packages = said.environment.systemPackages or [ ];
    in
    if !builtins.pathExists file then
      [ ]
    else if !isAttrs said || !isAttrs (said.environment or { }) then
      refuse "something else than programs"
    else if refused said != [ ] then
      refuse "${concatStringsSep ", " (refused said)}, which is not a commit's to decide"
    else if !isList packages || !builtins.all isDerivation packages then
      refuse "in environment.systemPackages what is no list of packages"
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

      # What it runs from. deploy.nix has it mounted out of the store, where nobody can exchange it.
      environment.etc."hyperhive/configuration".source = configuration;
    }
  )
]
