# Where a hive keeps what: its directories on the host, and that no setuid file in them counts.
#
# tmpfiles makes them rather than the unit, because systemd empties a RuntimeDirectory when its unit
# stops, and a container that has one of them mounted would keep an empty one for ever.
{
  config,
  lib,
  ...
}:
let
  inherit (lib)
    concatMapAttrs
    mkIf
    optional
    optionalAttrs
    ;

  cfg = config.services.hyperhive;
  state = toString cfg.stateDir;
  run = toString cfg.runDir;

  directory = mode: {
    d = {
      inherit mode;
      user = "hyperhive";
      group = "hyperhive";
    };
  };

  # The modes are those that the server gives them.
  ofAgent =
    name: agent:
    {
      "${state}/agents/${name}" = directory "0750";
      "${state}/agents/${name}/state" = directory "0700";
      "${state}/homes/${name}" = directory "0700";
      "${run}/agents/${name}" = directory "0700";
    }
    // optionalAttrs (agent.credentials != { }) {
      # The second is where the first is mounted in the container.
      "${run}/credentials/${name}" = directory "0750";
      "${run}/agents/${name}/credentials" = directory "0750";
    };

  isMountedByAdmin = config.fileSystems ? ${state};
in
{
  config = mkIf cfg.enable {
    systemd.tmpfiles.settings."10-hyperhive" = {
      ${state} = directory "0750";
      "${state}/agents" = directory "0750";
      "${state}/applied" = directory "0750";
      "${state}/configs" = directory "0750";
      "${state}/docs" = directory "0750";
      "${state}/homes" = directory "0750";
      "${state}/shared" = directory "2770";
      ${run} = directory "0750";
      "${run}/agents" = directory "0750";
      "${run}/credentials" = directory "0750";
    }
    // concatMapAttrs ofAgent cfg.agents;

    # The directory mounted onto itself, because only a mount can refuse setuid. What the containers
    # mount of it inherits that.
    systemd.mounts = optional (!isMountedByAdmin) {
      description = "The hive's state, without setuid and devices";
      what = state;
      where = state;
      type = "none";
      options = "bind,nosuid,nodev";
      wantedBy = [ "local-fs.target" ];
      before = [ "local-fs.target" ];
    };
  };
}
