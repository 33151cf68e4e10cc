"""A hive on real systemd, polkit and nspawn: everything of NixOS but NixOS.

A Debian made by debootstrap boots in systemd-nspawn as the host. What runs there is evaluated from
`modules/`: the server's unit, polkit's rule, the containers' settings and the guests' units, under
the store paths they name. Each agent is a booted guest in a user namespace of its own.
"""
