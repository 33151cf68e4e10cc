# How the containers reach the world, and what of the host they do not reach: all but what is listed,
# the operator's port above all.
{ config, lib, ... }:
let
  inherit (lib)
    any
    attrValues
    concatMapStrings
    concatMapStringsSep
    mkIf
    mkMerge
    optionalString
    ;

  cfg = config.services.hyperhive;
  enabled = lib.filter (agent: agent.enable) (attrValues cfg.agents);
  hasPrivate =
    any (agent: agent.network == "private") enabled || cfg.spawned.hasPrivateNetwork;

  # Every container's interface on the host begins so, also one whose name had to be cut.
  interfaces = "ve-h-";

  ports = {
    tcp = cfg.network.hostTCPPorts;
    udp = cfg.network.hostUDPPorts;
  };

  # Each is put first, so the last one counts first: replies, open ports, nothing else. `nixos-fw`
  # is made anew whenever the firewall is, so nothing is left over; FORWARD is not.
  iptables = ''
    ip46tables -I nixos-fw 1 -i ${interfaces}+ -j DROP
  ''
  + concatMapStrings (
    protocol:
    concatMapStrings (port: ''
      ip46tables -I nixos-fw 1 -i ${interfaces}+ -p ${protocol} --dport ${toString port} -j ACCEPT
    '') ports.${protocol}
  ) (builtins.attrNames ports)
  + ''
    ip46tables -I nixos-fw 1 -i ${interfaces}+ -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
    ${removeForward}
    ip46tables -I FORWARD 1 -i ${interfaces}+ -o ${interfaces}+ -j DROP
  '';

  removeForward = ''
    ip46tables -D FORWARD -i ${interfaces}+ -o ${interfaces}+ -j DROP 2>/dev/null || true
  '';

  accepted =
    protocol:
    optionalString (ports.${protocol} != [ ])
      ''iifname "${interfaces}*" ${protocol} dport { ${
        concatMapStringsSep ", " toString ports.${protocol}
      } } accept'';

  # A verdict to drop is final whatever other tables say; one to accept is not, so the open ports
  # are let through here and opened in the firewall itself.
  nftables = ''
    chain input {
      type filter hook input priority filter - 10; policy accept;
      iifname "${interfaces}*" ct state { established, related } accept
      ${accepted "tcp"}
      ${accepted "udp"}
      iifname "${interfaces}*" drop
    }
    chain forward {
      type filter hook forward priority filter - 10; policy accept;
      iifname "${interfaces}*" oifname "${interfaces}*" drop
    }
  '';
in
{
  config = mkIf (cfg.enable && hasPrivate) (mkMerge [
    {
      networking.nat = {
        enable = true;
        internalIPs = [ cfg.network.subnet ];
        externalInterface = mkIf (cfg.network.externalInterface != null) cfg.network.externalInterface;
      };
    }

    (mkIf config.networking.nftables.enable {
      networking.nftables.tables.hyperhive = {
        family = "inet";
        content = nftables;
      };
      networking.firewall.extraInputRules = ''
        ${accepted "tcp"}
        ${accepted "udp"}
      '';
    })

    (mkIf (!config.networking.nftables.enable) {
      networking.firewall.extraCommands = iptables;
      networking.firewall.extraStopCommands = removeForward;
    })
  ]);
}
