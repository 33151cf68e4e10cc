# The NixOS inside an agent's container: one ordinary user, the harness, and no way to root.
{
  cfg,
  name,
  agent,
  hostAddress,
  hostConfig,
}:
{
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    getExe
    getName
    mkDefault
    mkForce
    mkIf
    optional
    optionalAttrs
    ;

  user = "agent";
  home = "/home/agent";
  isManager = agent.role == "manager";
  state = "/agents/${name}/state";

  # The attribute of nixpkgs and the name of its package.
  programs = {
    claude = "claude-code";
    codex = "codex";
  };
  ownProgram = programs.${agent.driver.kind} or null;
  isOwnCommand = agent.driver.command != [ ];
  driverPackage =
    if agent.driver.package != null then
      agent.driver.package
    else if ownProgram != null && !isOwnCommand then
      pkgs.${ownProgram}
    else
      null;

  shown = address: if lib.hasInfix ":" address then "[${address}]" else address;

  # Where the box's probe tries to reach the operator's page: on the host as the container sees it.
  operatorAddress =
    if agent.network == "host" then
      cfg.operator.address
    else if
      builtins.elem cfg.operator.address [
        "0.0.0.0"
        "::"
        "::1"
        "localhost"
      ]
      || lib.hasPrefix "127." cfg.operator.address
    then
      hostAddress
    else
      cfg.operator.address;
in
{
  config = {
    # On the host's network it would be the host's own, which nobody in here may change.
    networking.firewall.enable = mkDefault (agent.network != "host");
    networking.nameservers = mkIf (agent.network == "private") cfg.network.nameservers;
    networking.useHostResolvConf = mkIf (agent.network == "private" && cfg.network.nameservers != [ ]) (
      mkForce false
    );
    services.resolved.enable = mkIf (agent.network == "private" && cfg.network.nameservers != [ ]) (
      mkDefault true
    );

    # The one package that the driver needs, and that only if the admin said so.
    nixpkgs.config = optionalAttrs (cfg.allowUnfree && ownProgram != null) {
      allowUnfreePredicate = package: getName package == ownProgram;
    };

    users.mutableUsers = false;
    users.allowNoPasswordLogin = true;
    users.users.root.hashedPassword = "!";
    users.users.${user} = {
      # Not a person's: NixOS counts every number below 1000 as the system's.
      isSystemUser = true;
      useDefaultShell = true;
      uid = cfg.uid;
      group = user;
      inherit home;
      createHome = false;
      hashedPassword = "!";
      description = name;
    };
    users.groups.${user}.gid = cfg.uid;

    security.sudo.enable = false;
    security.polkit.enable = mkDefault false;
    security.enableWrappers = false;
    services.openssh.enable = mkDefault false;
    nix.enable = mkDefault agent.nixDaemon;
    documentation.enable = mkDefault false;

    environment.systemPackages = [
      cfg.package
      pkgs.git
      pkgs.tea
    ]
    ++ optional (driverPackage != null) driverPackage
    ++ agent.packages;

    # Says for which agent this system was made; hyperhive-deploy installs no other.
    environment.etc."hyperhive/agent".text = "${name}\n";

    systemd.services.hyperhive-agent = {
      description = "The harness of agent ${name}";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      # A harness that keeps dying ends its guest, which is a crash to the server: whether and when
      # to go on is its to decide.
      unitConfig = {
        StartLimitIntervalSec = 900;
        StartLimitBurst = 5;
        StartLimitAction = "exit";
      };

      path = [ "/run/current-system/sw" ];
      environment =
        agent.environment
        // {
          HOME = home;
          HYPERHIVE_AGENT = name;
          HYPERHIVE_SOCKET = "/run/hyperhive/agent.sock";
          HYPERHIVE_AGENTS = "/agents";
          HYPERHIVE_STATE = state;
          HYPERHIVE_SHARED = "/shared";
          HYPERHIVE_DOCS = "/docs";
          # Written by the server; the agent's own settings come after it, and win.
          GIT_CONFIG_SYSTEM = "/run/hyperhive/gitconfig";
          HYPERHIVE_OPERATOR = "${shown operatorAddress}:${toString cfg.operator.port}";
        }
        // optionalAttrs (agent.credentials != { }) {
          HYPERHIVE_CREDENTIALS = "/run/hyperhive/credentials";
        }
        // optionalAttrs isManager { HYPERHIVE_APPLIED = "/applied"; };

      serviceConfig = import ./hardening.nix // {
        Type = "notify";
        NotifyAccess = "main";
        WatchdogSec = 60;
        ExecStart = "${getExe cfg.package} agent";
        Restart = "always";
        RestartSec = 2;
        # What an agent starts can run out of memory without taking the harness along.
        OOMPolicy = "continue";
        # A running turn is given the time that the harness itself gives it.
        TimeoutStopSec = 30;
        # By the console it gets into the host's journal, where the server reads it.
        StandardOutput = "journal+console";
        StandardError = "journal+console";

        User = user;
        Group = user;
        WorkingDirectory = state;
        # Everything else is read-only to it: the parents of what is mounted, above all.
        ReadWritePaths = [
          state
          "/shared"
          home
          "/tmp"
        ]
        ++ map (bind: toString bind.mountPoint) (lib.filter (bind: !bind.isReadOnly) agent.binds)
        ++ optional isManager "/configs"
        ++ lib.optionals (isManager && cfg.manager.stateAccess == "read-write") (
          map (other: "/agents/${other}/state") (lib.attrNames cfg.agents)
        );
        # Not among what the server gives up, because an agent builds and debugs whatever it works
        # on: memory that is written and run (every JIT compiler), any system call, any address
        # family. The container's user namespace is the wall there.
      };
    };

    system.stateVersion = mkDefault hostConfig.system.stateVersion;
  };
}
