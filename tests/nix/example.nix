# A hive that uses most of what can be said: what the golden file and the tests are made from.
{ pkgs, ... }:
{
  services.hyperhive = {
    enable = true;
    name = "example";
    allowUnfree = true;

    operator = {
      passwordFile = "/run/secrets/hive-operator";
      hosts = [ "hive.example.org" ];
      webhook.urlFile = "/run/secrets/hive-webhook";
    };

    agents.queen = {
      role = "manager";
      description = "Plans the work and hands it out.";
      driver = {
        kind = "claude";
        model = "opus";
        fallbackModel = "sonnet";
      };
      credentials.ANTHROPIC_API_KEY = "/run/secrets/queen-anthropic";
      limits.spendPerDayUsd = 20;
    };

    agents.alice = {
      description = "Writes the tests.";
      driver = {
        kind = "codex";
        extraArgs = [ "--full-auto" ];
        turnLimitSeconds = 900;
      };
      credentials.OPENAI_API_KEY = "/var/lib/hyperhive/credentials/alice-openai";
      systemPrompt = "Write the test first.";
      tools = [
        "recv"
        "send"
        "list_agents"
      ];
      driverTools = [ "shell" ];
      mayMessage = [
        "manager"
        "operator"
      ];
      quotas.messagesPerMinute = 30;
      restart = {
        policy = "never";
        backoffSeconds = 1.5;
      };
      limits = {
        memory = "2G";
        cpu = 1.5;
        tasks = 512;
        spendPerTurnUsd = 0.5;
      };
      binds = [
        {
          hostPath = "/srv/models";
          mountPoint = "/data/models";
        }
        {
          hostPath = "/srv/results";
          mountPoint = "/data/results";
          isReadOnly = false;
        }
      ];
      extraMcpServers.weather.url = "http://10.229.0.1:3100/mcp";
      extraMcpServers.files = {
        command = [
          "mcp-files"
          "/data/models"
        ];
        environment.LEVEL = "quiet";
      };
      environment.BUILD_MODE = "fast";
      forge = {
        orgs = [ "org-shared" ];
        mayCreateRepositories = false;
      };
      address = "10.229.7.7";
      packages = [ pkgs.hello ];
    };

    agents.bob = {
      driver = {
        kind = "scripted";
        script = "/etc/hive/bob.script.json";
      };
      network = "none";
      nixDaemon = true;
    };

    agents.carol = {
      enable = false;
      driver = {
        kind = "command";
        command = [ "cat" ];
      };
    };

    manager.stateAccess = "read-write";
    network.nameservers = [ "9.9.9.9" ];
    network.hostTCPPorts = [ 3100 ];
    quotas.broadcastsPerMinute = 3;
    restart.note = "wake";
    restart.rollout.atOnce = 2;
    retention.transcriptsDays = 7;
    limits.spendPerDayUsd = 50;

    forge = {
      kind = "forgejo";
      orgs.acme = {
        description = "What is sold.";
        teams.readers = {
          permission = "read";
          members = [
            "alice"
            "operator"
          ];
        };
      };
      docs.repository = "handbook";
    };
  };
}
