"""Exercises: how many parameters a GPT-OSS has, and how many bytes it needs."""

from gptoss import cost
from gptoss.config import PRESETS, ModelConfig
from gptoss.exercises.exercise import MEDIUM, Case, Exercise, Mistake

_ODD = ModelConfig(num_hidden_layers=3, num_experts=5, experts_per_token=5, vocab_size=101, hidden_size=96,
                   intermediate_size=32, head_dim=10, num_attention_heads=3, num_key_value_heads=1, sliding_window=7)
_ONE = _ODD.replace(num_hidden_layers=1, num_experts=1, experts_per_token=1, num_attention_heads=1, sliding_window=0)


def count_parameters(config: ModelConfig) -> tuple[int, int]:
    """All parameters of a model, and those that work on one token: (total, active).

    A layer has a norm (hidden_size), a matrix with bias for queries, keys and values (num_attention_heads + 2 *
    num_key_value_heads heads of head_dim, whatever the hidden size is), one sink a query head, an output matrix with bias
    back to hidden_size; then a norm, a router with bias (num_experts rows), and num_experts experts, each with a matrix with
    bias of 2 * intermediate_size rows and one with bias back to hidden_size. Before the layers is an embedding, after them
    a norm and an unembedding, a matrix of its own without bias: vocab_size rows each.

    Active are experts_per_token experts a layer instead of all, and no embedding: a token looks up one row of it.
    """
    hidden, intermediate = config.hidden_size, config.intermediate_size
    queries, pairs = config.num_attention_heads * config.head_dim, 2 * config.num_key_value_heads * config.head_dim
    attention = hidden + (queries + pairs) * (hidden + 1) + config.num_attention_heads + hidden * (queries + 1)
    router = hidden + config.num_experts * (hidden + 1)
    expert = 2 * intermediate * (hidden + 1) + hidden * (intermediate + 1)
    ends = hidden + config.vocab_size * hidden                                  # the last norm and the unembedding
    layers = config.num_hidden_layers
    active = layers * (attention + router + config.experts_per_token * expert) + ends
    idle = layers * (config.num_experts - config.experts_per_token) * expert
    return active + idle + config.vocab_size * hidden, active


def _our_counts(config: ModelConfig) -> tuple[int, int]:
    counts = cost.count_parameters(config)
    return counts.total, counts.active


def _configs() -> list[tuple[str, ModelConfig]]:
    return [*PRESETS.items(), ("3 layers, 3 heads of 10, all 5 experts", _ODD), ("one of everything", _ONE)]


def _changed(config: ModelConfig, total: int = 0, active: int = 0) -> tuple[int, int]:
    """The right counts with something added to them."""
    counts = count_parameters(config)
    return counts[0] + total, counts[1] + active


def _shared_width(config: ModelConfig) -> tuple[int, int]:
    size = config.hidden_size // config.num_attention_heads
    heads = 2 * config.num_attention_heads + 2 * config.num_key_value_heads
    more = config.num_hidden_layers * (size - config.head_dim) * (
        heads * config.hidden_size + config.num_attention_heads + 2 * config.num_key_value_heads)
    return _changed(config, more, more)


def _tied(config: ModelConfig) -> tuple[int, int]:
    return _changed(config, total=-config.vocab_size * config.hidden_size)


def _embedding_active(config: ModelConfig) -> tuple[int, int]:
    return _changed(config, active=config.vocab_size * config.hidden_size)


def _all_active(config: ModelConfig) -> tuple[int, int]:
    total, _ = count_parameters(config)
    return total, total - config.vocab_size * config.hidden_size


def _no_biases(config: ModelConfig) -> tuple[int, int]:
    rows = config.qkv_size + config.hidden_size + config.num_experts
    expert = 2 * config.intermediate_size + config.hidden_size
    return _changed(config, -config.num_hidden_layers * (rows + config.num_experts * expert),
                    -config.num_hidden_layers * (rows + config.experts_per_token * expert))


def _single_rows(config: ModelConfig) -> tuple[int, int]:
    less = config.num_hidden_layers * config.intermediate_size * (config.hidden_size + 1)
    return _changed(config, -less * config.num_experts, -less * config.experts_per_token)


def _no_sinks(config: ModelConfig) -> tuple[int, int]:
    less = -config.num_hidden_layers * config.num_attention_heads
    return _changed(config, less, less)


PARAMETERS = Exercise(
    name="parameters", title="Parameters", pages=("memory", "claims"), difficulty=MEDIUM, minutes=15,
    story="""\
"120b" is a name; the model has 116.83 billion parameters, of which 5.13 billion work on one token. Both figures follow
from a dozen numbers in its configuration, and public calculators still get them wrong: they divide the width among the
heads, or take the embedding for the unembedding. Memory follows the first figure, speed the second.""",
    hints=(
        "Count one layer's attention, its router and one expert. All the rest is multiplication.",
        "A matrix with bias from n to m has m (n + 1) parameters. The queries are num_attention_heads * head_dim wide: "
        "4,096 in GPT-OSS, where hidden_size is 2,880.",
        "An expert has 2 * intermediate * (hidden + 1) + hidden * (intermediate + 1). Active is layers * (attention + "
        "router + experts_per_token * expert) + the last norm + the unembedding."),
    solution=count_parameters, ours=_our_counts, parts=("total", "active"),
    cases=lambda: [Case(name, (config,)) for name, config in _configs()],
    mistakes=(
        Mistake("hidden_size / heads as head_dim", "You divide the width among the heads, 2880 / 64 = 45. head_dim is a "
                "number of its own: 64.", _shared_width),
        Mistake("embedding and unembedding tied", "You count one matrix for both ends. GPT-OSS has two.", _tied),
        Mistake("embedding counted as active", "A token looks up one row of the embedding, so it does not count as active. "
                "The unembedding does.", _embedding_active),
        Mistake("all experts active", "Only experts_per_token of a layer's experts work on a token.", _all_active),
        Mistake("biases left out", "Queries, keys and values, the output, the router and both matrices of each expert have "
                "biases.", _no_biases),
        Mistake("gate or linear half left out", "The first matrix of an expert has 2 * intermediate_size rows: a gate and a "
                "linear half.", _single_rows),
        Mistake("sinks left out", "Each query head of each layer has one more parameter: its sink.", _no_sinks),
    ))


def memory(config: ModelConfig, context: int) -> tuple[int, int]:
    """Bytes of the weights on disk, and of the keys and values of a text of `context` tokens: (weights, cache).

    Weights: the experts' two matrices are in MXFP4, blocks of 32 values in 17 bytes; everything else, the experts' biases
    too, is in bfloat16, two bytes a value. `config.num_experts` experts of `config.num_hidden_layers` layers count, and
    `gptoss.cost.count_parameters(config).total` is the number of all parameters.

    Cache: in each layer a token has num_key_value_heads keys and as many values, of head_dim numbers in bfloat16. Even
    layers, the first one among them, keep the last `sliding_window` tokens if that is not 0; odd layers keep all.
    """
    matrices = config.num_hidden_layers * config.num_experts * 3 * config.intermediate_size * config.hidden_size
    weights = matrices // 32 * 17 + 2 * (cost.count_parameters(config).total - matrices)
    kept = [min(config.sliding_window or context, context) if layer % 2 == 0 else context
            for layer in range(config.num_hidden_layers)]
    return weights, sum(kept) * 2 * config.num_key_value_heads * config.head_dim * 2


def _our_bytes(config: ModelConfig, context: int) -> tuple[int, int]:
    return cost.checkpoint_bytes(config), cost.kv_cache_bytes(config, context)


def _memory_cases() -> list[Case]:
    contexts = (131_072, 8192, 500, 200, 100, 33, 33)
    return [Case(f"{name}, {context:,} tokens", (config, context))
            for (name, config), context in zip(_configs(), contexts, strict=True)] + [
        Case("a window of 7, 5 tokens", (_ODD, 5)), Case("no token", (_ODD, 0))]


def _every_layer_full(config: ModelConfig, context: int) -> tuple[int, int]:
    return memory(config, context)[0], memory(config.replace(sliding_window=0), context)[1]


def _odd_layers_slide(config: ModelConfig, context: int) -> tuple[int, int]:
    weights, cache = memory(config, context)
    if config.num_hidden_layers % 2 and config.sliding_window:
        pair = 4 * config.num_key_value_heads * config.head_dim
        cache += (context - min(config.sliding_window, context)) * pair
    return weights, cache


def _query_heads(config: ModelConfig, context: int) -> tuple[int, int]:
    weights, cache = memory(config, context)
    return weights, cache * config.group_size


def _keys_only(config: ModelConfig, context: int) -> tuple[int, int]:
    weights, cache = memory(config, context)
    return weights, cache // 2


def _window_not_cut(config: ModelConfig, context: int) -> tuple[int, int]:
    kept = [config.sliding_window or context if layer % 2 == 0 else context for layer in range(config.num_hidden_layers)]
    return memory(config, context)[0], sum(kept) * 4 * config.num_key_value_heads * config.head_dim


def _four_bits(config: ModelConfig, context: int) -> tuple[int, int]:
    weights, cache = memory(config, context)
    blocks = config.num_hidden_layers * config.num_experts * 3 * config.intermediate_size * config.hidden_size // 32
    return weights - blocks, cache


def _everything_in_mxfp4(config: ModelConfig, context: int) -> tuple[int, int]:
    return cost.count_parameters(config).total * 17 // 32, memory(config, context)[1]


MEMORY = Exercise(
    name="memory", title="Memory", pages=("memory", "gqa", "window"), difficulty=MEDIUM, minutes=12,
    story="""\
Will it fit? Two things fill a card: the weights, once, and the keys and values of every text that is being written.
Public calculators have said 25 GiB for a cache of gpt-oss-120b that is 4.5, because they forget that heads share keys
and values, or that every other layer keeps only its window. The weights of gpt-oss-20b are 12.8 GiB for 20.9 billion
parameters, because nearly all are in MXFP4.""",
    hints=(
        "Two sums that have nothing to do with each other. For the weights, separate the experts' matrices from all the "
        "rest.",
        "The experts' matrices hold layers * experts * 3 * intermediate * hidden values: 2 * intermediate rows up and as "
        "many numbers down as intermediate * hidden. 32 of them take 17 bytes.",
        "A token of a layer takes 2 (key and value) * num_key_value_heads * head_dim * 2 bytes. A sliding layer keeps "
        "`min(config.sliding_window, context)` tokens."),
    solution=memory, ours=_our_bytes, cases=_memory_cases, parts=("weights", "cache"),
    mistakes=(
        Mistake("every layer full", "Even layers keep only their window.", _every_layer_full),
        Mistake("odd layers slide", "You let the odd layers slide. The even ones do, the first layer among them.",
                _odd_layers_slide),
        Mistake("query heads cached", "You keep a key and a value for every query head. Heads of a group share them: "
                "num_key_value_heads.", _query_heads),
        Mistake("keys only", "Keys and values are both kept: twice as much.", _keys_only),
        Mistake("window longer than the text", "A layer cannot keep more tokens than there are: take the smaller of window "
                "and context.", _window_not_cut),
        Mistake("scales forgotten", "32 values take 16 bytes and one more for the scale they share: 4.25 bits a value, not "
                "4.",
                _four_bits),
        Mistake("everything in MXFP4", "Only the experts' two matrices are in MXFP4. Attention, embeddings, norms and all "
                "biases are in bfloat16.", _everything_in_mxfp4),
    ))
