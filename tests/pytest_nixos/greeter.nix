# A module small enough to see through, with everything that the plugin reads.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib)
    mkEnableOption
    mkIf
    mkOption
    types
    ;
  cfg = config.services.greeter;
in
{
  options.services.greeter = {
    enable = mkEnableOption "the greeter";
    port = mkOption {
      type = types.port;
      default = 8080;
      description = "Where it listens.";
    };
    words = mkOption {
      type = types.attrsOf types.str;
      default = { };
      description = "What it says to whom.";
    };
  };

  config = mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.port >= 1024;
        message = "services.greeter.port is ${toString cfg.port}: set one of 1024 or more.";
      }
    ];
    warnings = lib.optional (cfg.words == { }) "The greeter has nothing to say.";

    environment.etc."greeter/words.json".text = builtins.toJSON cfg.words;
    users.users.greeter = {
      isSystemUser = true;
      group = "greeter";
      uid = 790;
    };
    users.groups.greeter.gid = 790;

    systemd.services.greeter = {
      description = "Greets";
      wantedBy = [ "multi-user.target" ];
      after = [
        "network.target"
        "nss-lookup.target"
      ];
      environment.GREETER_MOOD = "good morning";
      serviceConfig = {
        ExecStart = "${pkgs.writeShellScript "greet" "echo hello"} ${toString cfg.port}";
        PrivateTmp = true;
        ReadWritePaths = [
          "/srv/one"
          "/srv/two"
        ];
        User = "greeter";
      };
    };
  };
}
