# What an admin can say about the hive. Nothing here has an effect; the other files give it one.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    literalExpression
    mkEnableOption
    mkOption
    types
    ;
  inherit (import ./tunables.nix { inherit lib; })
    backoff
    count
    days
    dollars
    quotas
    tunable
    wait
    whole
    ;

  port = types.ints.between 1 65535;

  secretFile = types.pathWith {
    absolute = true;
    inStore = false;
  };
in
{
  options.services.hyperhive = {
    enable = mkEnableOption "Hyperhive, a hive of AI coding agents, each in a container of its own";

    package = mkOption {
      type = types.package;
      default = (import ../pkgs { inherit pkgs; }).hyperhive;
      defaultText = literalExpression "the package that comes with this module";
      description = ''
        The package of the server and of the harness in each container. Another version restarts
        every agent, in order.
      '';
    };

    name = mkOption {
      type = types.str;
      default = "hive";
      description = "The hive's name, as the operator's page shows it.";
    };

    uid = mkOption {
      type = types.ints.between 1 65533;
      default = 770;
      description = ''
        The number of the user and group `hyperhive` on the host and of the user `agent` in every container; they must
        be the same for the mounts to work. Changing it later takes a `chown -R` of {option}`stateDir`.
      '';
    };

    stateDir = mkOption {
      type = types.path;
      default = "/var/lib/hyperhive";
      description = ''
        Everything that must survive: the database, the agents' state and homes. Back it up. It is mounted without
        setuid, on a local file system that knows idmapped mounts. Moving it is a copy by hand, with the hive stopped.
      '';
    };

    runDir = mkOption {
      type = types.path;
      default = "/run/hyperhive";
      description = ''
        The sockets. It outlives the server. Its path is short: a socket's path ends at 107 bytes.
      '';
    };

    allowUnfree = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Whether the containers may have the unfree program that their driver needs, such as Claude Code: that package
        and no other. Each container has a nixpkgs of its own, so what the host allows does not hold there.
      '';
    };

    operator = {
      address = mkOption {
        type = types.str;
        default = "127.0.0.1";
        description = ''
          The address of the operator's page and API. Any other than loopback can be reached from the network, and the
          connection is not encrypted: put a proxy with TLS before it.
        '';
      };

      port = mkOption {
        type = port;
        default = 7700;
        description = ''
          The TCP port of the operator's page and API. It is closed to the containers, whatever
          else is open.
        '';
      };

      passwordFile = mkOption {
        type = types.nullOr secretFile;
        default = null;
        example = "/run/secrets/hive-operator";
        description = ''
          A file with the operator's password, which may belong to root. If unset, one is made at the first start, in
          `operator-secret` below {option}`stateDir`. A changed file holds from the next start of the server on.
        '';
      };

      hosts = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "hive.example.org" ];
        description = ''
          Further names under which browsers reach the page, without port. A request with any
          other is refused.
        '';
      };

      webhook = {
        urlFile = mkOption {
          type = types.nullOr secretFile;
          default = null;
          example = "/run/secrets/hive-webhook";
          description = ''
            A file with the address, http or https, that is told of approvals, questions, messages and alerts which wait
            for the operator; it may belong to root. Nowhere but on the page if unset. Whoever reads it can write there.
          '';
        };

        perMinute = tunable count 6 ''
          Notifications a minute at most; what comes meanwhile goes into the next.
        '';

        withText = tunable types.bool false ''
          Whether a notification holds what agents have written, and not only that they have. The service that carries it
          then reads that, too.
        '';
      };

      forgeAccount = tunable types.str "operator" "The operator's account on the forge.";

      openFirewall = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Opens the port to the network, where the login is its only protection. The containers
          stay shut out.
        '';
      };
    };

    agents = mkOption {
      type = types.attrsOf (import ./agent.nix { inherit lib; });
      default = { };
      example = literalExpression ''
        {
          queen = {
            role = "manager";
            driver.kind = "claude";
          };
          alice.driver.kind = "claude";
        }
      '';
      description = ''
        The agents, by name: 2 to 11 lower-case letters, digits and single hyphens. Each runs in the container
        `h-<name>`. One that is renamed is another agent; the old one's state stays where it was.
      '';
    };

    manager.stateAccess =
      tunable
        (types.enum [
          "read-only"
          "read-write"
        ])
        "read-only"
        ''
          The manager's access to the other agents' state. With `read-write` it can plant settings there and so act as any
          of them.
        '';

    spawned.credentials = mkOption {
      type = types.attrsOf secretFile;
      default = { };
      example = {
        ANTHROPIC_API_KEY = "/run/secrets/spawned-anthropic";
      };
      description = ''
        Secrets of the agents that come at run time, by name, each the path of a file on the host. If empty, they use the
        manager's keys and tokens of a model, and no other secret of it. Never a login that a program renews by itself.
      '';
    };

    network = {
      subnet = mkOption {
        type = types.str;
        default = "10.229.0.0/16";
        description = ''
          The IPv4 network of the containers, not in use otherwise. Its first address is the host's. A small one makes it
          likelier that two names come to the same address.
        '';
      };

      externalInterface = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "eth0";
        description = "The interface by which the containers reach the internet; any if unset.";
      };

      nameservers = mkOption {
        type = types.listOf types.str;
        default = config.networking.nameservers;
        defaultText = literalExpression "config.networking.nameservers";
        description = ''
          Name servers of the containers. Without any they get a copy of the host's `resolv.conf`,
          which is of no use where that names the host's loopback.
        '';
      };

      hostTCPPorts = mkOption {
        type = types.listOf port;
        default = [ ];
        description = ''
          TCP ports of the host that the containers may reach; all others are closed to them.
          Whatever listens there meets hostile clients.
        '';
      };

      hostUDPPorts = mkOption {
        type = types.listOf port;
        default = [ ];
        description = "UDP ports of the host that the containers may reach, such as a name server's.";
      };
    };

    quotas = quotas;

    restart = backoff // {
      note =
        tunable
          (types.enum [
            "next-turn"
            "wake"
          ])
          "next-turn"
          ''
            How an agent learns that it was restarted: in its next turn, which costs nothing, or by a turn of its own
            (`wake`), which costs one model call for each agent.
          '';

      rollout = {
        drainSeconds = tunable wait 60 ''
          How long running turns may go on before all agents are restarted. What is cut then is
          delivered again, and its work so far is paid for.
        '';
        managerReadySeconds = tunable wait 90 ''
          How long the others wait for the manager before they start without it.
        '';
        atOnce = tunable count 4 "How many start at the same time. More load the host more.";
      };
    };

    retention = {
      messagesDays = tunable days 30 "Days that messages are kept after they were acked.";
      eventsDays = tunable days 30 "Days that events are kept; the page's history reaches so far.";
      transcriptsDays = tunable days 14 "Days that transcripts are kept; they take the most room.";
    };

    backups = {
      everyHours = tunable count 24 ''
        Hours between two copies that the hive makes of its database. What came since the last one is not in it.
      '';
      keep = tunable whole 7 ''
        How many copies are kept, each as large as the database; 0 makes none. Those made by hand or before an upgrade are
        kept beside them.
      '';
    };

    limits.agents = tunable count 50 ''
      Agents, declared ones included, beyond which none is spawned.
    '';

    limits.spendPerDayUsd = tunable dollars null ''
      US dollars that the whole hive may spend a day; at the limit no agent starts a turn until
      midnight or until the operator resumes the hive. Unlimited if unset.
    '';

    guest = mkOption {
      type = types.deferredModule;
      default = { };
      description = ''
        Further NixOS configuration of every container. Whatever changes in it restarts all
        agents, in order.
      '';
    };

    settings = mkOption {
      type = (pkgs.formats.json { }).type;
      default = { };
      example = literalExpression ''{ limits.agents = 20; }'';
      description = ''
        What has no option of its own, as docs/declaration.md has it. What an option says wins, and saying otherwise here
        is refused. The build checks the result, so a wrong key or value fails before anything changes. It lands in the
        world-readable store: secrets are named by the path of a file.
      '';
    };

    declaration = mkOption {
      type = (pkgs.formats.json { }).type;
      readOnly = true;
      internal = true;
      description = "The declaration of the hive, as `hive.json` says it.";
    };
  };

  config.services.hyperhive.declaration =
    (import ./settings.nix { inherit lib; } config.services.hyperhive).declaration;
}
