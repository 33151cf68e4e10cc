# The server: the user it is, the unit that runs it, and the declaration it reads.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    concatStringsSep
    getExe
    mapAttrsToList
    mkIf
    optional
    ;

  cfg = config.services.hyperhive;
  user = "hyperhive";
  containers = import ./names.nix { inherit lib; };
  secrets = import ./secrets.nix { inherit lib; } cfg;

  rendered = (pkgs.formats.json { }).generate "hive.json" cfg.declaration;

  # The check runs where the file is made, so that no switch can reach a declaration it refuses.
  checked = pkgs.runCommand "hive.json" { } ''
    ${getExe cfg.package} check-config ${rendered}
    cp ${rendered} $out
  '';

  # What a switch made of each agent: its system, and how its container is started.
  changed = mapAttrsToList (
    name: _:
    let
      container = config.containers.${containers.container name};
    in
    concatStringsSep " " ([ "${container.path}" ] ++ container.extraFlags)
  ) (lib.filterAttrs (_: agent: agent.enable) cfg.agents);
in
{
  config = mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    environment.etc."hyperhive/hive.json".source = checked;

    users.users.${user} = {
      isSystemUser = true;
      uid = cfg.uid;
      group = user;
      home = toString cfg.stateDir;
      description = "Hyperhive";
    };
    # Whoever is in the group has the operator's authority: the admin socket asks for no login.
    users.groups.${user}.gid = cfg.uid;

    networking.firewall.allowedTCPPorts = optional cfg.operator.openFirewall cfg.operator.port;

    systemd.services.hyperhive = {
      description = "Hyperhive, the control plane of a hive of agents";
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [
        "network-online.target"
        "polkit.service"
        "systemd-machined.service"
      ];
      unitConfig.RequiresMountsFor = [
        (toString cfg.stateDir)
        (toString cfg.runDir)
      ];

      # A switch that changes what is declared, or a container's system, is a reload: the server
      # then restarts in order what changed. Only another package or unit restarts the server, and
      # the containers go on meanwhile.
      reloadTriggers = [ checked ] ++ changed;
      # What the server reads only when it starts.
      restartTriggers = [
        (builtins.toJSON {
          inherit (cfg.declaration) operator;
          forge = removeAttrs (cfg.declaration.forge or { }) [
            "orgs"
            "docs"
          ];
        })
      ];
      # What a container holds open meanwhile waits for seconds, not for the rest of the switch.
      stopIfChanged = false;

      path = [
        config.systemd.package
        pkgs.git
      ];

      serviceConfig =
        import ./hardening.nix
        // secrets.serviceConfig
        // {
          Type = "notify";
          ExecStart = "${getExe cfg.package} serve --config /etc/hyperhive/hive.json";
          ExecReload = "${pkgs.coreutils}/bin/kill -HUP $MAINPID";
          Restart = "on-failure";
          RestartSec = 2;
          TimeoutStartSec = 120;
          TimeoutStopSec = 30;
          LimitNOFILE = 65536;
          # What it starts, such as Nix, can run out of memory without taking it along.
          OOMPolicy = "continue";

          User = user;
          Group = user;
          # Reads what the containers print. The group may read the whole journal: systemd knows no
          # smaller permission for the lines of some units.
          SupplementaryGroups = [ "systemd-journal" ];
          ReadWritePaths = [
            (toString cfg.stateDir)
            (toString cfg.runDir)
          ];

          DeviceAllow = [ "" ];
          DevicePolicy = "closed";
          MemoryDenyWriteExecute = true;
          PrivateMounts = true;
          PrivateTmp = true;
          ProcSubset = "pid";
          ProtectHome = true;
          RemoveIPC = true;
          # The page and the forge are TCP; agents, systemd and the command line are Unix sockets.
          RestrictAddressFamilies = [
            "AF_INET"
            "AF_INET6"
            "AF_UNIX"
          ];
          SystemCallFilter = [
            "@system-service"
            "~@privileged @resources"
          ];
          SystemCallErrorNumber = "EPERM";
        };
    };
  };
}
