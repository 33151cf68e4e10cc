# One container for each enabled agent: what of the host it sees, what it may take, and who starts it.
#
# The server starts, stops and restarts them, in its order and with its own back-off. So a switch
# leaves them alone, and systemd does not bring them back.
{
  config,
  lib,
  ...
}:
let
  inherit (lib)
    filterAttrs
    mapAttrs'
    mkForce
    mkIf
    nameValuePair
    optional
    optionalAttrs
    ;

  cfg = config.services.hyperhive;
  names = import ./names.nix { inherit lib; };
  addresses = import ./addresses.nix { inherit lib; };

  mounts = import ./mounts.nix { inherit lib; } cfg;

  enabled = filterAttrs (_: agent: agent.enable) cfg.agents;

  network =
    name: agent:
    {
      privateNetwork = agent.network != "host";
    }
    // optionalAttrs (agent.network == "private") {
      hostAddress = addresses.hostOf cfg.network.subnet;
      localAddress =
        if agent.address != null then agent.address else addresses.derive cfg.network.subnet name;
    };

  container =
    name: agent:
    network name agent
    // {
      autoStart = false;
      restartIfChanged = false;
      ephemeral = false;
      # Root in there is nobody out here.
      privateUsers = "pick";
      extraFlags =
        mounts.ofDeclared name agent
        ++ [ mounts.noPrivileges ]
        ++ optional (!agent.nixDaemon) mounts.noDaemon;
      config = {
        imports = [
          (import ./guest.nix {
            inherit cfg name agent;
            hostAddress = addresses.hostOf cfg.network.subnet;
            hostConfig = config;
          })
          cfg.guest
          agent.guest
        ];
      };
    };

  unit =
    name: agent:
    let
      common = import ./unit.nix { inherit lib; } cfg agent.limits;
    in
    {
      restartIfChanged = false;
      inherit (common) unitConfig;
      serviceConfig = common.serviceConfig // {
        Restart = mkForce common.serviceConfig.Restart;
      };
    };
in
{
  config = mkIf cfg.enable {
    containers = mapAttrs' (
      name: agent: nameValuePair (names.container name) (container name agent)
    ) enabled;
    systemd.services = mapAttrs' (
      name: agent: nameValuePair "container@${names.container name}" (unit name agent)
    ) enabled;
  };
}
