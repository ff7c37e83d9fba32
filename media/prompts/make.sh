#!/bin/sh
# Makes the built-in rescue prompt: raw G.711, 8 kHz, mono, as mu-law and
# A-law. Needs espeak-ng and sox; run it after changing the words below and
# commit what it writes. Nothing at build time depends on it.
set -eu
cd "$(dirname "$0")"

# Short sentences with a pause between them are understood best by somebody
# who is frightened; the most important word, help, comes first.
words='Help is still coming. Please stay on the line. Do not hang up. Another call taker will be with you.'

wav=$(mktemp --suffix=.wav)
clean=$(mktemp --suffix=.wav)
trap 'rm -f "$wav" "$clean"' EXIT

# -s: words a minute, calmer than normal speech; -p: pitch; -g: gap in 10 ms.
espeak-ng -v en-us -s 168 -p 42 -g 1 -w "$wav" "$words"

# Telephone band, even loudness (about -18 dBFS while speaking, peaks at
# -3 dBFS), no dead air at either end.
sox -D "$wav" "$clean" \
	silence 1 0.02 0.5% reverse silence 1 0.02 0.5% reverse \
	highpass 200 lowpass 3400 \
	compand 0.005,0.15 6:-60,-40,-24,-16,-12,-10,0,-6 -4 -60 0.01 \
	rate -v 8000 gain -n -3 fade t 0.01 reverse fade t 0.02 reverse
sox -D "$clean" -t raw -r 8000 -c 1 -e u-law rescue.ulaw
sox -D "$clean" -t raw -r 8000 -c 1 -e a-law rescue.alaw
ls -l rescue.ulaw rescue.alaw
