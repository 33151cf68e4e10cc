"""A model that answers by a script: real agent programs can be run against it, without a network.

``script`` reads the rules, ``conversations`` says what a rule can look at, ``rules`` chooses one;
``messages_api`` and ``responses_api`` speak the two languages that clients speak, and ``server``
listens. The format of scripts is described in ``docs/scripted-model.md``.
"""
