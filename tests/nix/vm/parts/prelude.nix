# What the script of every story begins with: the hive as its operator sees it, and its containers.
''
  import json
  import shlex


  def hive(command):
      """What the command line answers, run as root on the machine."""
      return json.loads(machine.succeed("hyperhive --json " + command))


  def agent(name):
      return next(one for one in hive("status")["agents"] if one["name"] == name)


  def wait_for_agents(*names):
      for name in names:
          ready = f'.agents[] | select(.name == "{name}") | .state == "ready"'
          machine.wait_until_succeeds(
              f"hyperhive --json status | jq --exit-status {shlex.quote(ready)}", timeout=240
          )


  def ask(name, what):
      """Have the manager ask a worker for something; its answer has to be waited for."""
      machine.succeed(f"hyperhive send manager {shlex.quote(f'ask {name}: {what}')}")


  def wait_for_answer(name, what):
      machine.wait_until_succeeds(
          f"hyperhive --json messages | grep --fixed-strings {shlex.quote(f'{name} did: {what}')}",
          timeout=120,
      )


  def inside(name, command):
      """The command that runs another one in an agent's container, as whom its turns run as."""
      shell = "/run/current-system/sw/bin/sh -lc " + shlex.quote(command)
      return f"systemd-run --machine=h-{name} --uid=agent --pipe --wait --quiet --collect {shell}"


  def leader(name):
      """The first process of an agent's container: another one means that it was restarted."""
      return machine.succeed(f"machinectl show h-{name} --property=Leader --value").strip()


  def switch_to(specialisation=None):
      system = "/run/booted-system"
      if specialisation:
          system += f"/specialisation/{specialisation}"
      machine.succeed(f"{system}/bin/switch-to-configuration test")


  def boots():
      machine.wait_for_unit("hyperhive.service")
      wait_for_agents("queen", "alice")


''
