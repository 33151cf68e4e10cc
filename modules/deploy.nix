# Putting the system of a spawned agent in place: what root does for the server, and all it does.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    attrNames
    concatStringsSep
    mkIf
    mkOption
    types
    ;

  cfg = config.services.hyperhive;
  addresses = import ./addresses.nix { inherit lib; };
  mounts = import ./mounts.nix { inherit lib; } cfg;

  containers = "/etc/nixos-containers";
  profiles = "/nix/var/nix/profiles/per-container";

  flags = mounts.ofSpawned "@name@" ++ [
    mounts.noPrivileges
    mounts.noDaemon
  ];

  space = addresses.space cfg.network.subnet;
in
{
  options.services.hyperhive.spawnedSettings = mkOption {
    type = types.lines;
    readOnly = true;
    internal = true;
    description = "The settings of a spawned agent's container, with its name and address left open.";
  };

  # The keys are those that nixos-containers writes for a declared one.
  config.services.hyperhive.spawnedSettings = ''
    PRIVATE_NETWORK=1
    HOST_ADDRESS=${addresses.hostOf cfg.network.subnet}
    LOCAL_ADDRESS=@address@
    PRIVATE_USERS=pick
    EXTRA_NSPAWN_FLAGS="${concatStringsSep " " flags}"
  '';

  config.systemd = mkIf cfg.enable {
    services."hyperhive-deploy@" = {
      description = "Installation of the system of the hive's agent %i";
      path = [
        config.nix.package
        pkgs.coreutils
        pkgs.gnugrep
        pkgs.gnused
      ];
      environment = {
        REQUESTS = "${toString cfg.stateDir}/deploy";
        DECLARED = concatStringsSep " " (attrNames cfg.agents);
        CONTAINERS = containers;
        PROFILES = profiles;
        STORE = builtins.storeDir;
        TEMPLATE = "${pkgs.writeText "hyperhive-container.conf" cfg.spawnedSettings}";
        # Nix looks for settings of its caller there.
        HOME = "/var/empty";
        FIRST = toString space.first;
        ROOM = toString space.room;
      };
      serviceConfig = import ./hardening.nix // {
        Type = "oneshot";
        ExecStart = "${pkgs.runtimeShell} ${./deploy.sh} %i";
        TimeoutStartSec = 60;
        UMask = "0022";
        # Reads a request that belongs to the server.
        CapabilityBoundingSet = "CAP_DAC_READ_SEARCH";
        DevicePolicy = "closed";
        MemoryDenyWriteExecute = true;
        PrivateNetwork = true;
        PrivateTmp = true;
        ProtectHome = true;
        ReadWritePaths = [
          "-${containers}"
          "/nix/var/nix"
        ];
        RestrictAddressFamilies = [ "AF_UNIX" ];
        SystemCallFilter = [ "@system-service" ];
      };
    };

    # Without its settings a container would share the host's users and network.
    services."container@".unitConfig.AssertPathExists = "${containers}/%i.conf";

    tmpfiles.settings."10-hyperhive" = {
      "${toString cfg.stateDir}/deploy".d = {
        mode = "0750";
        user = "hyperhive";
        group = "hyperhive";
      };
      ${containers}.d = {
        mode = "0755";
        user = "root";
        group = "root";
      };
    };
  };
}
