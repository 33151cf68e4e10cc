# How the systems of spawned agents are made: a flake in the store, which the server copies, adds an
# agent's name and configuration to, and has Nix build, pure and as its own user. deploy.nix puts the
# result in place.
#
# What such an agent may reach is its manager's, so everything here follows from the manager's options.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    attrValues
    elem
    filterAttrs
    findFirst
    imap0
    literalMD
    mapAttrs
    mapAttrsToList
    mkIf
    mkOption
    types
    ;

  cfg = config.services.hyperhive;
  addresses = import ./addresses.nix { inherit lib; };

  # Without one an assertion says so.
  manager = findFirst (agent: agent.role == "manager") null (attrValues cfg.agents);

  # What several agents can use at once, by driver; the server has the same rule.
  keys = {
    claude = [
      "ANTHROPIC_API_KEY"
      "ANTHROPIC_AUTH_TOKEN"
      "CLAUDE_CODE_OAUTH_TOKEN"
    ];
    codex = [
      "CODEX_API_KEY"
      "OPENAI_API_KEY"
    ];
  };
  ofDriver = keys.${manager.driver.kind} or [ ];

  pattern = manager // {
    credentials =
      if ofDriver == [ ] then
        { }
      else if cfg.spawned.credentials != { } then
        cfg.spawned.credentials
      else
        filterAttrs (name: _: elem name ofDriver) manager.credentials;
  };

  parameters = {
    hive = {
      inherit (cfg) allowUnfree uid;
      network = { inherit (cfg.network) nameservers; };
      operator = { inherit (cfg.operator) address port; };
      package = "${cfg.package}";
    };
    agent = {
      inherit (pattern) environment;
      network = if pattern.network == "none" then "none" else "private";
      packages = map (package: "${package}") pattern.packages;
      # Names alone: what they hold is handed over where the agent runs.
      credentials = mapAttrs (_: _: "") pattern.credentials;
      driver = {
        inherit (pattern.driver) command kind;
        package = if pattern.driver.package == null then null else "${pattern.driver.package}";
      };
    };
    hostAddress = addresses.hostOf cfg.network.subnet;
    inherit (config.system) stateVersion;
    platform = pkgs.stdenv.hostPlatform.system;
    further = builtins.length cfg.spawned.guest;
  };

  # As flakes want it: inputs are literals.
  text = ''
    {
      description = "The system of an agent that came at run time";

      inputs.nixpkgs.url = ${builtins.toJSON cfg.spawned.nixpkgs};
      inputs.nixpkgs.flake = false;

      outputs =
        { nixpkgs, ... }:
        let
          parameters = builtins.fromJSON (builtins.readFile ./parameters.json);
        in
        {
          system = import ./module/spawned/system.nix {
            inherit nixpkgs parameters;
            name = builtins.readFile ./name;
            configuration = ./agent;
            further = builtins.genList (number: ./further + "/''${toString number}") parameters.further;
          };
        };
    }
  '';

  module = [
    "guest.nix"
    "hardening.nix"
    "spawned"
  ];

  entry = name: path: { inherit name path; };

  flake = pkgs.linkFarm "hyperhive-spawned" (
    mapAttrsToList (name: content: entry name (pkgs.writeText name content)) cfg.spawned.texts
    ++ map (name: entry "module/${name}" (./. + "/${name}")) module
    ++ imap0 (number: file: entry "further/${toString number}" file) cfg.spawned.guest
  );

  source = config.nixpkgs.flake.source or null;
in
{
  options.services.hyperhive.spawned = {
    enable = mkOption {
      type = types.bool;
      default = true;
      description = ''
        Whether agents can come at run time, each by an approval of the operator's. The server then has the host's Nix
        build their systems, as its own user, and the host keeps the sources of nixpkgs for it.
      '';
    };

    nixpkgs = mkOption {
      type = types.strMatching "[^ ]+:[^ ]+";
      default = "path:${if source != null then source else pkgs.path}";
      defaultText = literalMD "the nixpkgs of the host";
      example = "github:NixOS/nixpkgs/nixpkgs-unstable";
      description = ''
        The nixpkgs of their systems, as the address of a flake. The host's own costs nothing further and follows each
        switch. Another one is downloaded, and stays where it is until the operator approves an `input_update`.
      '';
    };

    guest = mkOption {
      type = types.listOf types.path;
      default = [ ];
      example = lib.literalExpression "[ ./every-guest.nix ]";
      description = ''
        Files with further NixOS configuration of their containers. They are evaluated apart from the host's, so
        {option}`services.hyperhive.guest` does not hold there; what is to hold in all is written to a file and imported
        by both.
      '';
    };

    pattern = mkOption {
      type = types.raw;
      readOnly = true;
      internal = true;
      description = "The agent after which they are made: the manager, with the credentials that they have.";
    };

    isPossible = mkOption {
      type = types.bool;
      readOnly = true;
      internal = true;
      description = "Whether any can be made.";
    };

    hasPrivateNetwork = mkOption {
      type = types.bool;
      readOnly = true;
      internal = true;
      description = "Whether some may be made that have a network of their own.";
    };

    texts = mkOption {
      type = types.attrsOf types.str;
      readOnly = true;
      internal = true;
      description = "The files of the flake that follow from the options, by name.";
    };
  };

  config.services.hyperhive.spawned.texts = {
    "flake.nix" = text;
    "parameters.json" = builtins.toJSON parameters;
  };

  config.services.hyperhive.spawned.pattern = pattern;
  config.services.hyperhive.spawned.isPossible = cfg.spawned.enable && manager != null;
  # Whatever the manager's own is: only "none" is taken from it.
  config.services.hyperhive.spawned.hasPrivateNetwork =
    cfg.spawned.isPossible && pattern.network != "none";

  # The server finds it in one place; a new one is a reload.
  config.environment.etc = mkIf (cfg.enable && cfg.spawned.isPossible) {
    "hyperhive/spawned".source = flake;
  };
  config.systemd.services.hyperhive = mkIf (cfg.enable && cfg.spawned.isPossible) {
    path = [ config.nix.package ];
    reloadTriggers = [ flake ];
  };
}
