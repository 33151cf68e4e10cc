# What an admin can say about one agent: the type of services.hyperhive.agents.<name>.
{ lib }:
let
  inherit (lib)
    literalExpression
    literalMD
    mkOption
    types
    ;
  inherit (import ./tunables.nix { inherit lib; })
    agentBackoff
    agentQuotas
    count
    dollars
    seconds
    tunable
    ;

  unset =
    type: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit description;
    };

  words =
    description:
    mkOption {
      type = types.listOf types.str;
      default = [ ];
      inherit description;
    };

  table =
    options:
    mkOption {
      type = types.submodule { inherit options; };
      default = { };
    };

  secretFile = types.pathWith {
    absolute = true;
    inStore = false;
  };

  driver = {
    kind = mkOption {
      type = types.enum [
        "scripted"
        "command"
        "claude"
        "codex"
      ];
      description = ''
        What runs the agent's turns. `claude` and `codex` run those programs and cost model calls, `command`
        runs any program, `scripted` plays a list of tool calls without a model.
      '';
    };

    package = mkOption {
      type = types.nullOr types.package;
      default = null;
      defaultText = literalMD ''
        `claude-code` or `codex` of the container's nixpkgs; none for the other kinds
      '';
      description = ''
        The package with the program that {option}`driver.kind` runs. One that is given here was built by the host's
        nixpkgs, whose rules for unfree packages then hold instead of {option}`services.hyperhive.allowUnfree`.
      '';
    };

    script = mkOption {
      type = types.nullOr types.path;
      default = null;
      example = literalExpression "./alice.script.json";
      description = ''
        The script that a `scripted` driver plays: needed there, refused elsewhere. A Nix path lands in the
        world-readable store; the path of a file on the host, in quotes, is mounted read-only.
      '';
    };

    command = words ''
      The program and its arguments, without a shell. `command` needs it; with `claude` and `codex` it replaces the
      program's own name. A program without a slash is looked up among {option}`packages`.
    '';

    model = unset types.str ''
      The model that the program is told to use; its own choice if unset. A larger one costs more.
    '';

    fallbackModel = unset types.str "The model to use while the first is overloaded.";

    extraArgs = words ''
      Further arguments for the program, after the hive's own. The next version of the program may
      refuse them.
    '';

    permissionPrompts =
      unset
        (types.enum [
          "deny"
          "operator"
        ])
        ''
          What becomes of a call of the program's own tools that {option}`driverTools` does not cover: `deny` refuses it
          with a reason and is the default, `operator` (`claude` only) asks you for an approval. The turn waits for you a
          short while, and costs more for it.
        '';

    turnLimitSeconds = tunable seconds 1800 ''
      A turn that takes longer is cancelled; its messages come back and count an attempt. A high limit lets a hung
      turn block the agent's inbox for that long.
    '';
  };

  limits = {
    memory = unset (types.strMatching "[1-9][0-9]{0,14}[KMGT]?") ''
      Memory of the whole container, such as `"2G"`; unlimited if unset. At the limit the largest of its programs is killed,
      which can be the one that runs the turn.
    '';
    cpu = unset (types.addCheck types.number (cores: cores > 0)) ''
      Cores that the container may keep busy, such as `1.5`; unlimited if unset. Builds and tests take longer under it.
    '';
    tasks = unset count ''
      Processes and threads of the whole container, its own system of about twenty included; systemd's default if
      unset. A program that cannot start another usually fails.
    '';
    spendPerTurnUsd = unset dollars ''
      US dollars that one turn may cost; unlimited if unset. The turn fails at the limit, and its
      work so far is paid for.
    '';
    spendPerDayUsd = unset dollars ''
      US dollars a day; at the limit the agent pauses until midnight or until the operator resumes it. Unlimited if unset.
    '';
  };

  bind = {
    hostPath = mkOption {
      type = types.path;
      description = "What to mount. Not the hive's own directories, nor one that holds them.";
    };
    mountPoint = mkOption {
      type = types.path;
      description = "Where the agent finds it. Not within the paths that every container has.";
    };
    isReadOnly = mkOption {
      type = types.bool;
      default = true;
      description = ''
        `false` lets the agent change the host's files there, as the user that the files belong to if that is
        {option}`services.hyperhive.uid`, and not at all otherwise.
      '';
    };
  };

  mcpServer = {
    command = words ''
      A program that speaks MCP on its standard input and output. It runs with the agent's rights.
    '';
    environment = mkOption {
      type = types.attrsOf types.str;
      default = { };
      description = "Variables for that program. They land in the world-readable store.";
    };
    url = unset types.str ''
      The address of a server that already runs. It learns what the agent asks it.
    '';
  };
in
types.submodule {
  options = {
    enable = mkOption {
      type = types.bool;
      default = true;
      description = ''
        `false` keeps the agent declared and takes its container away: it can be written to, its state stays, and its
        messages wait.
      '';
    };

    role = mkOption {
      type = types.enum [
        "manager"
        "worker"
      ];
      default = "worker";
      description = ''
        Exactly one agent is the manager: it coordinates the others, sees their state, and has a
        few more tools.
      '';
    };

    description = mkOption {
      type = types.str;
      default = "";
      description = "What the agent is for, in a sentence. The other agents read it.";
    };

    systemPrompt = mkOption {
      type = types.lines;
      default = "";
      description = "Text added to the system prompt of its role. It is paid for in every turn.";
    };

    driver = mkOption {
      type = types.submodule { options = driver; };
      description = "What runs its turns.";
    };

    tools = unset (types.listOf types.str) ''
      Which of the hive's tools it has; the server refuses the others. All of its role's if unset.
    '';

    driverTools = unset (types.listOf types.str) ''
      Which of the program's own tools it has. If unset, all but those that compete with the hive's. The container is
      the boundary, not this list.
    '';

    mayMessage = unset (types.listOf types.str) ''
      Whom it may write to: names of agents, `manager`, `operator`. Everyone if unset; an empty list is nobody.
    '';

    quotas = table agentQuotas // {
      description = "Where its quotas differ from the hive's.";
    };

    limits = table limits // {
      description = "What its container may take of the host, and its turns of the budget.";
    };

    restart =
      table (
        agentBackoff
        // {
          policy =
            unset
              (types.enum [
                "always"
                "never"
              ])
              ''
                `never` leaves an agent that ended stopped until the operator starts it; its messages
                wait meanwhile.
              '';
        }
      )
      // {
        description = "How it is started again after it ended.";
      };

    binds = mkOption {
      type = types.listOf (types.submodule { options = bind; });
      default = [ ];
      example = literalExpression ''[ { hostPath = "/srv/models"; mountPoint = "/data/models"; } ]'';
      description = "Further directories or files of the host in its container, read-only unless said.";
    };

    extraMcpServers = mkOption {
      type = types.attrsOf (types.submodule { options = mcpServer; });
      default = { };
      description = ''
        Further MCP servers for its program, by name. Their tools are described in its context in
        every turn.
      '';
    };

    environment = mkOption {
      type = types.attrsOf types.str;
      default = { };
      description = ''
        Variables of its processes. They land in the world-readable store: a secret is a
        credential.
      '';
    };

    credentials = mkOption {
      type = types.attrsOf secretFile;
      default = { };
      example = {
        ANTHROPIC_API_KEY = "/run/secrets/alice-anthropic";
      };
      description = ''
        Secrets by name, each the path of a file on the host, which may belong to root. One per agent: a login that two
        agents share logs one of them out. Handed over when the server starts; a file below
        {option}`services.hyperhive.stateDir` is read in place, and `hyperhive login` can replace it.
      '';
    };

    forge = {
      orgs = words "Organisations of the forge that it joins, besides the teams that name it.";
      mayCreateRepositories = tunable types.bool true "Whether it may create repositories of its own.";
    };

    network = mkOption {
      type = types.enum [
        "private"
        "none"
        "host"
      ];
      default = "private";
      description = ''
        `private` gives the container a network of its own, behind NAT: it reaches the internet and whatever the host
        routes to, not the host's ports and not the other agents. `none` gives it no network, so no model can be
        reached. `host` shares the host's, loopback and the operator's page included: only the page's login is left.
      '';
    };

    address = unset types.str ''
      Its IPv4 address within {option}`services.hyperhive.network.subnet`. If unset, one that follows from its name and
      stays the same; set it where two names come to the same address.
    '';

    nixDaemon = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Lets the agent build with the host's Nix daemon. It can then fill the host's store and use its builders, and
        what it builds is as visible as everything in the store.
      '';
    };

    packages = mkOption {
      type = types.listOf types.package;
      default = [ ];
      example = literalExpression "[ pkgs.ripgrep pkgs.python3 ]";
      description = ''
        Programs that the agent finds in its `PATH`, besides git, the forge's client and its
        driver's.
      '';
    };

    guest = mkOption {
      type = types.deferredModule;
      default = { };
      description = ''
        Further NixOS configuration of its container. What is set here can open what the module closes, and each
        service that runs there is one more that the agent can reach.
      '';
    };
  };
}
