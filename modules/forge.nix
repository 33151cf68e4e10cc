# The forge: which one there is, where the agents reach it, and, where NixOS is to run it, Forgejo.
#
# It listens at the host's address in the containers' network, which the loopback has, too: it is
# there before any container is, and no machine outside reaches it.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    attrNames
    getExe
    mkDefault
    mkIf
    mkMerge
    mkOption
    optional
    types
    ;
  inherit (import ./tunables.nix { inherit lib; }) tunable;

  cfg = config.services.hyperhive;
  inherit (cfg) forge;
  reached = import ./forge-address.nix { inherit lib; } cfg;
  forgejo = config.services.forgejo;

  option = path: "services.hyperhive.forge.${path}";
  failsIf = condition: message: {
    assertion = !condition;
    inherit message;
  };

  team = types.submodule {
    options = {
      permission =
        tunable
          (types.enum [
            "read"
            "write"
            "admin"
          ])
          "write"
          ''
            What its members may do with the organisation's repositories.
          '';
      members = mkOption {
        type = types.listOf types.str;
        default = [ ];
        description = "Names of agents, `manager` or `operator`.";
      };
    };
  };
in
{
  options.services.hyperhive.forge = {
    kind =
      tunable
        (types.enum [
          "none"
          "embedded"
          "forgejo"
        ])
        "none"
        ''
          The git forge of the hive. `embedded` is a small one that is part of the server, `forgejo` is one with pages, which
          this module sets up (SQLite, no registration) unless {option}`forge.url` names another. With `none` agents have no
          accounts and `/docs` stays empty.
        '';

    port = mkOption {
      type = types.ints.between 1 65535;
      default = 7780;
      description = ''
        The TCP port of the forge on this host. The containers reach it, and nobody outside does. Clones of agents name it.
      '';
    };

    url = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "https://git.example.org";
      description = ''
        A Forgejo that runs already, where agents and server reach it. It serves this hive alone. It must be let tell the
        hive: `webhook.ALLOWED_HOST_LIST = 127.0.77.1/32` in its settings, if it runs on this host; elsewhere the hive looks
        at the docs every 5 s and at pull requests every minute.
      '';
    };

    tokenFile = mkOption {
      type = types.nullOr (
        types.pathWith {
          absolute = true;
          inStore = false;
        }
      );
      default = null;
      example = "/run/secrets/hive-forge";
      description = ''
        A file with a token of an administrator of the Forgejo at {option}`forge.url`, with the scope `all`; it may belong to
        root. Whoever reads it owns that forge. One that this module sets up needs none.
      '';
    };

    orgs = mkOption {
      type = types.attrsOf (
        types.submodule {
          options = {
            description = mkOption {
              type = types.str;
              default = "";
              description = "What it is for.";
            };
            teams = mkOption {
              type = types.attrsOf team;
              default = { };
              description = "Its teams, by name.";
            };
          };
        }
      );
      default = { };
      description = "Organisations on the forge, by name.";
    };

    docs = {
      org = tunable types.str "org-shared" ''
        The organisation of the docs repository, which every container sees at `/docs`. It is made if it is missing.
      '';
      repository = tunable types.str "docs" "The name of the docs repository.";
      seedDirectory = tunable types.path null ''
        A directory with what the docs hold at first. A built-in template if unset; later changes here do nothing.
      '';
    };
  };

  config = mkMerge [
    (mkIf (cfg.enable && reached.isHere) {
      # On the loopback, too: the containers' ends of it come and go.
      networking.interfaces.lo.ipv4.addresses = [
        {
          inherit (reached) address;
          prefixLength = 32;
        }
      ];
      services.hyperhive.network.hostTCPPorts = [ forge.port ];
    })

    (mkIf (cfg.enable && reached.isOurForgejo) {
      services.forgejo = {
        enable = true;
        # Said, so that it never changes with a default: an older release refuses what a newer one has written.
        package = mkDefault pkgs.forgejo-lts;
        database.type = mkDefault "sqlite3";
        dump.enable = mkDefault true;
        settings = {
          server = {
            PROTOCOL = "http";
            HTTP_ADDR = reached.address;
            HTTP_PORT = forge.port;
            DOMAIN = reached.address;
            ROOT_URL = "${reached.url}/";
            DISABLE_SSH = mkDefault true;
          };
          service = {
            DISABLE_REGISTRATION = true;
            REQUIRE_SIGNIN_VIEW = true;
            DEFAULT_ALLOW_CREATE_ORGANIZATION = false;
            ENABLE_NOTIFY_MAIL = mkDefault false;
          };
          openid = {
            ENABLE_OPENID_SIGNIN = false;
            ENABLE_OPENID_SIGNUP = false;
          };
          # An agent that made a repository may give it a webhook: it leads to the hive's ear alone, and to
          # nothing else that listens on this host. For the same reason nothing is fetched from elsewhere.
          webhook.ALLOWED_HOST_LIST = mkDefault "127.0.77.1/32";
          repository.DISABLE_MIGRATIONS = mkDefault true;
          mirror.ENABLED = mkDefault false;
          actions.ENABLED = mkDefault false;
          packages.ENABLED = mkDefault false;
          # It would write beside its program, which lies in the store.
          F3 = {
            ENABLED = false;
            PATH = "${forgejo.stateDir}/data/f3";
          };
          "cron.update_checker".ENABLED = mkDefault false;
          picture.DISABLE_GRAVATAR = mkDefault true;
        };
      };

      systemd.services.forgejo.after = [ "network-addresses-lo.service" ];

      systemd.services.hyperhive-forge-admin = {
        description = "The hive's administrator of Forgejo, and its token";
        wantedBy = [ "multi-user.target" ];
        requires = [ "forgejo.service" ];
        partOf = [ "forgejo.service" ];
        after = [ "forgejo.service" ];
        path = [
          pkgs.coreutils
          pkgs.curl
          pkgs.gawk
          pkgs.git
          pkgs.gnugrep
        ];
        environment = {
          FORGEJO = getExe forgejo.package;
          FORGEJO_WORK_DIR = forgejo.stateDir;
          FORGEJO_CUSTOM = forgejo.customDir;
          HOME = forgejo.stateDir;
          USER = forgejo.user;
          URL = reached.url;
          TOKEN = reached.token;
        };
        serviceConfig = import ./hardening.nix // {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = "${pkgs.runtimeShell} ${./forge-admin.sh}";
          Restart = "on-failure";
          RestartSec = 5;
          TimeoutStartSec = 120;
          User = forgejo.user;
          Group = forgejo.group;
          # What the hive is to read belongs to its group by the directory.
          UMask = "0027";
          DevicePolicy = "closed";
          PrivateTmp = true;
          ProtectHome = true;
          ReadWritePaths = [
            forgejo.stateDir
            (builtins.dirOf reached.token)
          ];
          RestrictAddressFamilies = [
            "AF_INET"
            "AF_UNIX"
          ];
          SystemCallFilter = [
            "@system-service"
            "~@privileged"
          ];
          SystemCallErrorNumber = "EPERM";
        };
      };

      systemd.tmpfiles.settings."10-hyperhive".${builtins.dirOf reached.token}.d = {
        mode = "2750";
        user = forgejo.user;
        group = "hyperhive";
      };
    })

    (mkIf cfg.enable {
      assertions = [
        (failsIf (forge.url != null && forge.kind != "forgejo") ''
          ${option "url"} names a Forgejo that is not used. Set ${option "kind"} = "forgejo", or remove it.
        '')
        (failsIf (forge.url != null && forge.tokenFile == null) ''
          The hive needs an administrator's token of the Forgejo at ${toString forge.url}. Set ${option "tokenFile"}.
        '')
        (failsIf (forge.url == null && forge.tokenFile != null) ''
          ${option "tokenFile"} is the token of a Forgejo that runs already. Set ${option "url"}, or remove it: the module
          makes a token of its own for one that it sets up.
        '')
      ];
      warnings = optional (forge.kind == null && forge.orgs != { }) ''
        The organisations ${lib.concatStringsSep ", " (attrNames forge.orgs)} are declared, and the hive has no forge.
        Set ${option "kind"}.
      '';
    })
  ];
}
