"""Byte-level BPE: training, encoding, and the files that Hugging Face's tokenizers read."""
import math, re
from collections import Counter, defaultdict

SPECIALS = ["<|begin|>", "<|end|>", "<|user|>", "<|assistant|>"]
VOCAB = 2048  # 256 bytes, the merges, the special tokens
BEGIN, END, USER, ASSISTANT = range(VOCAB - len(SPECIALS), VOCAB)
CHAT_TEMPLATE = (
    "{{ bos_token }}{% set system = namespace(text='') %}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{% set system.text = system.text + message['content'] | trim + '\\n' %}"
    "{% elif message['role'] == 'user' %}"
    "{{ '<|user|>' + system.text + message['content'] | trim }}{% set system.text = '' %}"
    "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>' + message['content'] | trim + eos_token }}"
    "{% else %}{{ raise_exception('Only system, user and assistant messages are supported') }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

SPLIT = r"'(?:[sdmt]|re|ve|ll)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
ASCII_SPLIT = re.compile(SPLIT.replace(r"\p{L}", "A-Za-z").replace("]?A-Za-z+", "]?[A-Za-z]+").replace(r"|\p{N}{", "|[0-9]{").replace(r"\p{N}", "0-9"))


def byte_alphabet():
    """GPT-2's printable stand-in for each byte."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in kept]
    return {**{byte: chr(byte) for byte in kept}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}


ALPHABET = byte_alphabet()


def spell(text):
    return [ALPHABET[byte] for byte in text.encode()]


def train_bpe(texts, merge_count):
    """The classic algorithm over the distinct pieces of the corpus: merge the most frequent pair, again and again."""
    pieces = Counter(piece for text in texts for piece in ASCII_SPLIT.findall(text))
    words = [(spell(piece), count) for piece, count in sorted(pieces.items())]
    pairs, where = Counter(), defaultdict(set)
    for index, (word, count) in enumerate(words):
        for pair in zip(word, word[1:]):
            pairs[pair] += count
            where[pair].add(index)
    merges = []
    while len(merges) < merge_count:
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        assert pairs[best] > 0, "the corpus is too small for this vocabulary"
        merges.append(best)
        for index in where.pop(best):
            word, count = words[index]
            for pair in zip(word, word[1:]):
                pairs[pair] -= count
            word[:] = merge(word, best)
            for pair in zip(word, word[1:]):
                pairs[pair] += count
                where[pair].add(index)
        del pairs[best]
    return merges


def merge(word, pair):
    merged, i = [], 0
    while i < len(word):
        step = 2 if tuple(word[i:i + 2]) == pair else 1
        merged.append("".join(word[i:i + step]))
        i += step
    return merged


class Tokenizer:
    def __init__(self, merges):
        self.merges = [tuple(pair) for pair in merges]
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.tokens = [ALPHABET[byte] for byte in range(256)] + [a + b for a, b in self.merges]
        self.ids = {token: index for index, token in enumerate(self.tokens)}
        self.bytes = {char: byte for byte, char in ALPHABET.items()}
        self.cache = {}

    def encode(self, text):
        return [index for piece in ASCII_SPLIT.findall(text) for index in self.piece(piece)]

    def piece(self, piece):
        if piece not in self.cache:
            word = spell(piece)
            while len(word) > 1:
                pair = min(zip(word, word[1:]), key=lambda pair: self.ranks.get(pair, math.inf))
                if pair not in self.ranks:
                    break
                word = merge(word, pair)
            self.cache[piece] = [self.ids[token] for token in word]
        return self.cache[piece]

    def decode(self, ids):
        text = b""
        for index in ids:
            text += SPECIALS[index - BEGIN].encode() if index >= BEGIN else bytes(self.bytes[c] for c in self.tokens[index])
        return text.decode(errors="replace")

    def document(self, document):
        if "text" in document:
            return [BEGIN, *self.encode(document["text"]), END]
        ids = [BEGIN]
        for turn in document["turns"]:
            ids += [USER, *self.encode(turn["user"]), ASSISTANT, *self.encode(turn["assistant"]), END]
        return ids

    def files(self, context):
        """tokenizer.json and tokenizer_config.json as Hugging Face reads them."""
        special = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
        begin = {"SpecialToken": {"id": SPECIALS[0], "type_id": 0}}
        first, second = ({"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB"))
        level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False)
        tokenizer = dict(
            version="1.0", truncation=None, padding=None,
            added_tokens=[dict(id=BEGIN + i, content=text, **special) for i, text in enumerate(SPECIALS)],
            normalizer=None,
            pre_tokenizer=dict(type="Sequence", pretokenizers=[
                dict(type="Split", pattern={"Regex": SPLIT}, behavior="Isolated", invert=False), level]),
            post_processor=dict(
                type="TemplateProcessing", single=[begin, first],
                pair=[begin, first, {"SpecialToken": {"id": SPECIALS[0], "type_id": 1}}, second],
                special_tokens={SPECIALS[0]: dict(id=SPECIALS[0], ids=[BEGIN], tokens=[SPECIALS[0]])}),
            decoder=level,
            model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None,
                       fuse_unk=False, byte_fallback=False, ignore_merges=False,
                       vocab=self.ids, merges=[f"{a} {b}" for a, b in self.merges]))
        config = dict(
            tokenizer_class="PreTrainedTokenizerFast", bos_token=SPECIALS[0], eos_token=SPECIALS[1], add_bos_token=True,
            add_eos_token=False, clean_up_tokenization_spaces=False, model_max_length=context,
            chat_template=CHAT_TEMPLATE)
        return tokenizer, config
