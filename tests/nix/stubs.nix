# The options of NixOS that modules/ sets or reads, for evaluations with nixpkgs' lib alone. They say
# what kind of value belongs there, and nothing of what NixOS makes of it.
{
  lib,
  pytestNixos,
  ...
}:
let
  inherit (lib) mkOption types;

  option = type: default: mkOption { inherit type default; };
  flag = option types.bool;
  list = option (types.listOf types.anything) [ ];
  lines = option types.lines "";
  table = option (types.attrsOf types.anything) { };

  # As NixOS merges the keys of a unit: lists by concatenation, everything else must agree.
  keys = option (types.attrsOf (
    types.oneOf [
      (types.listOf types.anything)
      types.anything
    ]
  )) { };

  service = types.submodule {
    freeformType = types.attrsOf types.anything;
    options = {
      after = list;
      before = list;
      path = list;
      reloadTriggers = list;
      requiredBy = list;
      restartTriggers = list;
      serviceConfig = keys;
      unitConfig = keys;
      wantedBy = list;
      wants = list;
      environment = table;
    };
  };

  user = types.submodule (
    { name, ... }:
    {
      freeformType = types.attrsOf types.anything;
      options.name = option types.str name;
      options.extraGroups = list;
    }
  );

  packages = pytestNixos.pkgs [
    "claude-code"
    "codex"
    "coreutils"
    "curl"
    "diffutils"
    "forgejo-lts"
    "gawk"
    "git"
    "gnugrep"
    "gnused"
    "hello"
    "hyperhive"
    "ripgrep"
    "runtimeShell"
    "tea"
  ];

  # As in nixpkgs, the packages of a Python know which one it is.
  python3 = packages.python3 // {
    override =
      arguments:
      let
        python = packages.python3.override arguments;
        callPackage = file: given: python.pkgs.callPackage file ({ inherit python; } // given);
      in
      python
      // {
        pkgs = python.pkgs // {
          inherit callPackage;
        };
      };
  };

  container = types.submodule (
    { config, name, ... }:
    {
      freeformType = types.attrsOf types.anything;
      options.config = mkOption { type = pytestNixos.machine; };
      options.extraFlags = list;
      options.path = mkOption { type = types.anything; };
      config.path = pytestNixos.derivation "nixos-system-${name}" {
        contents = builtins.toJSON [
          (map toString config.config.environment.systemPackages)
          config.config.systemd.services
          config.config.users.users
        ];
      };
    }
  );
in
{
  options = {
    boot.enableContainers = flag true;
    boot.kernelPackages = option types.anything { kernel.version = "6.12.1"; };
    containers = option (types.attrsOf container) { };
    documentation.enable = flag true;
    environment.etc = option (types.attrsOf (
      types.submodule { freeformType = types.attrsOf types.anything; }
    )) { };
    environment.systemPackages = list;
    fileSystems = option (types.attrsOf (
      types.submodule {
        options.device = option types.str "";
        options.fsType = option types.str "auto";
        options.options = option (types.listOf types.str) [ "defaults" ];
      }
    )) { };
    networking = {
      firewall = {
        allowedTCPPorts = list;
        enable = flag true;
        extraCommands = lines;
        extraInputRules = lines;
        extraStopCommands = lines;
      };
      hostName = option types.str "nixos";
      interfaces = table;
      nameservers = list;
      nat = {
        enable = flag false;
        externalInterface = option (types.nullOr types.str) null;
        internalIPs = list;
      };
      nftables.enable = flag false;
      nftables.tables = table;
      useHostResolvConf = flag false;
    };
    nix.enable = flag true;
    nix.settings = table;
    nix.package = option types.anything (pytestNixos.derivation "nix" { });
    nixpkgs.config = table;
    security = {
      enableWrappers = flag true;
      polkit.enable = flag false;
      polkit.extraConfig = lines;
      sudo.enable = flag true;
    };
    security.acme = table;
    services.forgejo = {
      customDir = option types.str "/var/lib/forgejo/custom";
      database.type = option types.str "sqlite3";
      dump.enable = flag false;
      enable = flag false;
      group = option types.str "forgejo";
      package = option types.anything packages.forgejo-lts;
      settings = option (types.attrsOf (types.attrsOf types.anything)) { };
      stateDir = option types.str "/var/lib/forgejo";
      user = option types.str "forgejo";
    };
    services.nginx = table;
    services.openssh.enable = flag false;
    services.resolved.enable = flag false;
    system.activationScripts = table;
    system.stateVersion = option types.str "26.05";
    systemd = {
      mounts = list;
      package = option types.anything (pytestNixos.derivation "systemd" { });
      services = option (types.attrsOf service) { };
      tmpfiles.settings = option (types.attrsOf (types.attrsOf types.anything)) { };
    };
    users = {
      allowNoPasswordLogin = flag false;
      groups = option (types.attrsOf user) { };
      mutableUsers = flag true;
      users = option (types.attrsOf user) { };
    };
  };

  config._module.args.pkgs = packages // {
    inherit python3;
  };
}
