# Sessions of prompts (trace-synth --schedule closed --prompts=chat --annotate) as spans of OpenTelemetry's
# conventions for generative AI, a session per line. A span takes no time, so the next one of its session
# begins a delay after its end, as replays wait for that. usage: jq -c -s -f otel.jq
group_by(.session_id)[] | {
  trace_id: .[0].session_id,
  spans: [foreach .[] as $request (0; $request.timestamp // (. + $request.delay);
    ((. / 1000 | todate[:19]) + ".\(. % 1000 + 1000 | tostring[1:])Z") as $time | {
      # Padded, since spans of one time are sorted by their ids.
      span_id: "\($request.session_id).\($request.turn + 100000 | tostring[1:])",
      name: "chat",
      start_time: $time,
      end_time: $time,
      attributes: {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.max_tokens": $request.max_tokens,
        "gen_ai.usage.input_tokens": ($request.context_len + $request.unique_user_prompt_len),
        "gen_ai.usage.output_tokens": $request.output_length,
        "gen_ai.input.messages": $request.messages
      }
    })]
}
