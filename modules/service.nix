# The server, from what options.nix lets an admin say.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) getExe mkIf;

  cfg = config.services.hyperhive;
  user = "hyperhive";

  rendered = (pkgs.formats.json { }).generate "hive.json" cfg.settings;

  # The check runs where the file is made, so that no switch can reach a declaration it refuses.
  checked = pkgs.runCommand "hive.json" { } ''
    ${getExe cfg.package} check-config ${rendered}
    cp ${rendered} $out
  '';

  directory = mode: {
    d = {
      inherit mode user;
      group = user;
    };
  };
in
{
  config = mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    environment.etc."hyperhive/hive.json".source = checked;

    users.users.${user} = {
      isSystemUser = true;
      group = user;
      home = cfg.settings.stateDir;
    };
    users.groups.${user} = { };

    # systemd empties a RuntimeDirectory when the unit stops; the sockets' directories must stay,
    # or a box that has one of them mounted keeps an empty one for ever.
    systemd.tmpfiles.settings."10-hyperhive" = {
      ${cfg.settings.stateDir} = directory "0750";
      ${cfg.settings.runDir} = directory "0755";
    };

    systemd.services.hyperhive = {
      description = "Hyperhive, the control plane of a hive of agents";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      restartTriggers = [ checked ];

      serviceConfig = import ./hardening.nix // {
        ExecStart = "${getExe cfg.package} serve --config /etc/hyperhive/hive.json";
        User = user;
        Group = user;
        UMask = "0007";
        ReadWritePaths = [
          cfg.settings.stateDir
          cfg.settings.runDir
        ];
        Restart = "on-failure";
        RestartSec = 2;
      };
    };
  };
}
