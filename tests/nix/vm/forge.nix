# A Forgejo that the module sets up: every agent has an account, and git knows it.
{
  name = "hyperhive-forge";

  nodes.machine =
    { pkgs, ... }:
    {
      imports = [ ./parts/hive.nix ];

      services.hyperhive.forge.kind = "forgejo";
      services.hyperhive.forge.docs.seedDirectory = pkgs.writeTextDir "index.md" "Read this.";
    };

  testScript = import ./parts/prelude.nix + ''
    def forge(name, method, path, told=None):
        """What an agent is answered by the forge's API, in its container."""
        body = f"--data {shlex.quote(json.dumps(told))}" if told else ""
        return machine.succeed(inside(
            name,
            "curl --fail-with-body --silent --header 'Content-Type: application/json' "
            "--header \"Authorization: token $(cat /run/hyperhive/forge-token)\" "
            f"--request {method} {body} http://10.229.0.1:7780/api/v1{path}"
        ))


    def git(name, command):
        return inside(name, f"export GIT_CONFIG_SYSTEM=/run/hyperhive/gitconfig; cd; {command}")


    def wait_for_forge():
        machine.wait_until_succeeds(
            "hyperhive --json forge | jq --exit-status '.forge.state == \"ready\"'", timeout=240
        )


    machine.start()
    boots()
    wait_for_forge()

    with subtest("an agent makes a repository, pushes, opens a pull request, and merges it"):
        forge("alice", "POST", "/orgs/org-everyone/repos", {"name": "app", "default_branch": "main"})
        machine.succeed(git("alice", "git init -q -b main app && cd app && git commit -q --allow-empty -m one"))
        machine.succeed(git("alice", "cd app && git remote add origin hive:org-everyone/app"))
        machine.succeed(git("alice", "cd app && git push -q origin main"))
        machine.succeed(git("alice", "cd app && git commit -q --allow-empty -m two && git push -q origin HEAD:two"))
        pulls = "/repos/org-everyone/app/pulls"
        forge("alice", "POST", pulls, {"title": "Two", "head": "two", "base": "main"})
        machine.wait_until_succeeds("hyperhive --json forge | grep --fixed-strings Two", timeout=60)
        forge("queen", "POST", f"{pulls}/1/merge", {"Do": "merge"})

    with subtest("all read the docs, and the manager alone writes them"):
        machine.wait_until_succeeds(inside("alice", "grep Read /docs/index.md"), timeout=60)
        for name in ("alice", "queen"):
            machine.succeed(git(name, "git clone -q hive:org-shared/docs docs"))
            machine.succeed(git(name, "cd docs && echo new > page.md && git add . && git commit -q -m page"))
        machine.fail(git("alice", "cd docs && git push -q origin main"))
        machine.succeed(git("queen", "cd docs && git push -q origin main"))
        machine.wait_until_succeeds(inside("alice", "grep new /docs/page.md"), timeout=60)

    with subtest("nobody registers there, and nobody outside reaches it"):
        machine.fail("curl --fail --silent http://10.229.0.1:7780/user/sign_up | grep password")
        machine.fail("ss --listening --numeric --tcp | grep '0.0.0.0:7780'")

    with subtest("the administrator's token is for the hive alone, and stays over a restart"):
        token = "/var/lib/hyperhive-forge/token"
        assert machine.succeed(f"stat --format='%U %G %a' {token}").strip() == "forgejo hyperhive 640"
        before = machine.succeed(f"sha256sum {token}")
        machine.succeed("systemctl restart forgejo.service")
        machine.wait_for_unit("hyperhive-forge-admin.service")
        assert machine.succeed(f"sha256sum {token}") == before

    with subtest("a token that was lost is made anew, and the hive goes on"):
        machine.succeed(f"rm {token}", "systemctl restart hyperhive-forge-admin.service")
        machine.succeed("systemctl restart hyperhive.service")
        wait_for_forge()

    with subtest("it is dumped"):
        machine.succeed("systemctl start forgejo-dump.service", "ls /var/lib/forgejo/dump | grep zip")
  '';
}
