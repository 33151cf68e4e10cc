# What a service of the hive gives up: the server on the host, and the harness in each container.
# Attributes of a unit's serviceConfig, to be merged into it; each merge says what it takes back.
{
  AmbientCapabilities = "";
  CapabilityBoundingSet = "";
  KeyringMode = "private";
  LockPersonality = true;
  NoNewPrivileges = true;
  PrivateDevices = true;
  ProtectClock = true;
  ProtectControlGroups = true;
  ProtectHostname = true;
  ProtectKernelLogs = true;
  ProtectKernelModules = true;
  ProtectKernelTunables = true;
  ProtectProc = "invisible";
  ProtectSystem = "strict";
  # Beside the two lines that need a /proc or a /sys of their own, "strict" leaves /run as it is.
  ReadOnlyPaths = [ "/run" ];
  RestrictNamespaces = true;
  RestrictRealtime = true;
  RestrictSUIDSGID = true;
  SystemCallArchitectures = "native";
  UMask = "0007";
}
