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
    concatMapStrings
    concatStringsSep
    genAttrs
    mkIf
    mkOption
    optionals
    types
    ;

  cfg = config.services.hyperhive;
  addresses = import ./addresses.nix { inherit lib; };
  names = import ./names.nix { inherit lib; };
  mounts = import ./mounts.nix { inherit lib; } cfg;
  inherit (cfg.spawned) pattern;

  containers = "/etc/nixos-containers";
  profiles = "/nix/var/nix/profiles/per-container";
  # Where systemd keeps what was set of single units, over restarts of the host.
  drop-ins = "/etc/systemd/system.control";

  flags = mounts.ofSpawned "@name@" "@system@" pattern ++ [
    mounts.noPrivileges
    mounts.noDaemon
  ];

  network = [
    "PRIVATE_NETWORK=1"
  ]
  ++ optionals (pattern.network != "none") [
    "HOST_ADDRESS=${addresses.hostOf cfg.network.subnet}"
    "LOCAL_ADDRESS=@address@"
  ];

  unit = import ./unit.nix { inherit lib; } cfg pattern.limits;

  space = addresses.space cfg.network.subnet;
in
{
  options.services.hyperhive.spawned = {
    settings = mkOption {
      type = types.lines;
      readOnly = true;
      internal = true;
      description = "The settings of a spawned agent's container, with name, system and address left open.";
    };
    unit = mkOption {
      type = types.lines;
      readOnly = true;
      internal = true;
      description = "What the unit of such a container has beside its template.";
    };
  };

  config.services.hyperhive.spawned = {
    # The keys are those that nixos-containers writes for a declared one.
    settings = concatStringsSep "\n" (
      [ "SYSTEM_PATH=@system@" ]
      ++ network
      ++ [
        "PRIVATE_USERS=pick"
        "EXTRA_NSPAWN_FLAGS=\"${concatStringsSep " " flags}\""
        ""
      ]
    );
    unit = lib.generators.toINI { listsAsDuplicateKeys = true; } {
      Unit = unit.unitConfig;
      Service = unit.serviceConfig;
    };
  };

  # Who is declared under the name of one that was spawned has its unit and its system from the switch
  # alone. Before systemd reads its units anew, so that none of it counts any more.
  config.system.activationScripts = mkIf cfg.enable {
    hyperhive-declared = concatMapStrings (name: ''
      rm -rf ${drop-ins}/container@${names.container name}.service.d ${profiles}/${names.container name}/system
    '') (attrNames cfg.agents);
  };

  config.systemd = mkIf cfg.enable {
    services."hyperhive-deploy@" = mkIf cfg.spawned.isPossible {
      description = "Installation of the system of the hive's agent %i";
      # An agent that crashes and comes back has it run each time.
      unitConfig.StartLimitIntervalSec = 0;
      path = [
        config.nix.package
        config.systemd.package
        pkgs.coreutils
        pkgs.diffutils
        pkgs.gnugrep
        pkgs.gnused
      ];
      environment = {
        REQUESTS = "${toString cfg.stateDir}/deploy";
        DECLARED = concatStringsSep " " (attrNames cfg.agents);
        CONTAINERS = containers;
        PROFILES = profiles;
        STORE = builtins.storeDir;
        TEMPLATE = "${pkgs.writeText "hyperhive-container.conf" cfg.spawned.settings}";
        UNIT = "${pkgs.writeText "hyperhive-container-unit.conf" cfg.spawned.unit}";
        DROP_INS = drop-ins;
        # Root would open the store itself, which takes a mount of its own.
        NIX_REMOTE = "daemon";
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
          "-${drop-ins}"
          "/nix/var/nix"
        ];
        RestrictAddressFamilies = [ "AF_UNIX" ];
        SystemCallFilter = [ "@system-service" ];
      };
    };

    # Without its settings a container would share the host's users and network.
    services."container@".unitConfig.AssertPathExists = "${containers}/%i.conf";

    tmpfiles.settings."10-hyperhive" = mkIf cfg.spawned.isPossible ({
      "${toString cfg.stateDir}/deploy".d = {
        mode = "0750";
        user = "hyperhive";
        group = "hyperhive";
      };
    }
    // genAttrs [ containers drop-ins ] (_: {
      d = {
        mode = "0755";
        user = "root";
        group = "root";
      };
    }));
  };
}
