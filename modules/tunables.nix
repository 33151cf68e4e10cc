# Options for the numbers that the server has defaults for, used for the hive and for one agent.
#
# Unset means the server's default (the hive's, for an agent), which the reference shows.
{ lib }:
let
  inherit (lib)
    literalExpression
    mapAttrs
    mkOption
    types
    ;

  tunable =
    type: default: description:
    mkOption {
      type = types.nullOr type;
      default = null;
      defaultText = literalExpression (if default == null then "null" else builtins.toJSON default);
      inherit description;
    };

  whole = types.ints.between 0 1000000;
  count = types.ints.between 1 1000000;
  days = types.ints.between 1 36500;
  bytes = types.ints.between 1 1048576;
  upTo = limit: types.addCheck types.number (number: number > 0 && number <= limit);
  seconds = upTo 86400 // {
    description = "number of seconds, above 0, up to a day's";
  };
  wait = types.numbers.between 0 86400 // {
    description = "number of seconds, from 0 to a day's";
  };
  dollars = upTo 1000000 // {
    description = "number of US dollars, above 0, up to a million";
  };

  quotas = {
    messagesPerMinute = tunable count 120 ''
      Messages that an agent may send a minute. A model that loops sends as many as it may, and
      each can wake another agent.
    '';
    broadcastsPerMinute = tunable whole 6 ''
      Messages to everyone a minute; 0 forbids them. Each can wake every agent, and so costs as
      many model calls.
    '';
    openQuestions = tunable whole 25 ''
      Questions that an agent may have open at once. Each waits for somebody's attention.
    '';
    pendingApprovals = tunable whole 25 ''
      Approvals that may wait for the operator. The more there are, the less each is looked at.
    '';
    pendingReminders = tunable whole 50 ''
      Reminders that may be set at once. Each wakes the agent once, which costs a model call.
    '';
    reminderBurst = tunable whole 10 "Reminders that may be set in one go before the rate applies.";
    remindersPerMinute = tunable whole 6 "Reminders that may be set a minute after the burst.";
    reminderHorizonDays = tunable days 365 ''
      How many days ahead a reminder may lie. It is kept for that long.
    '';
    messageBytes = tunable bytes 16384 ''
      Bytes in a message's body. What is larger goes into a file; a larger limit fills the
      receiver's context.
    '';
    reminderBytes = tunable bytes 4096 "Bytes in a reminder that is delivered without a file.";
  };

  backoff = {
    backoffSeconds = tunable seconds 5 ''
      The wait before the first restart of an agent that crashed. A short one restarts what is
      broken more often.
    '';
    backoffMaxSeconds = tunable seconds 600 ''
      The longest wait; each is twice the one before. A long one keeps a repaired agent away for
      that long.
    '';
    crashLimit = tunable count 5 ''
      Crashes within the window that make a crash loop: the agent stays stopped until the operator
      starts it.
    '';
    crashWindowSeconds = tunable seconds 900 "That window.";
  };

  # For one agent, unset is the hive's.
  inherited = mapAttrs (_: option: option // { defaultText = lib.literalMD "the hive's"; });
in
{
  inherit
    backoff
    count
    days
    dollars
    quotas
    seconds
    tunable
    wait
    whole
    ;
  agentBackoff = inherited backoff;
  agentQuotas = inherited quotas;
}
