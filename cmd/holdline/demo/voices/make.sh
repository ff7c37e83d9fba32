#!/bin/sh
# Makes the voices of the demo: raw mu-law, 8 kHz, mono. Needs espeak-ng and
# sox; run it after changing the words below and commit what it writes.
# Nothing at build time depends on it.
set -eu
cd "$(dirname "$0")"

wav=$(mktemp --suffix=.wav)
trap 'rm -f "$wav"' EXIT

# say NAME VOICE SPEED PITCH WORDS
say() {
	espeak-ng -v "$2" -s "$3" -p "$4" -g 1 -w "$wav" "$5"
	# Telephone band, even loudness, no dead air at either end.
	sox -D "$wav" -t raw -r 8000 -c 1 -e u-law "$1.ulaw" \
		silence 1 0.02 0.5% reverse silence 1 0.02 0.5% reverse \
		highpass 200 lowpass 3400 \
		compand 0.005,0.15 6:-60,-40,-24,-16,-12,-10,0,-6 -4 -60 0.01 \
		rate -v 8000 gain -n -3 fade t 0.01 reverse fade t 0.02 reverse
}

# The caller is out of breath: fast and high, and says first what matters.
say caller en-us+f3 178 68 'There is a fire. Twelve forty Oak Street, third floor. Hello? Hello? Are you there?'
say caller-more en-us+f3 178 68 'There is smoke in the stairwell, and my mother cannot walk.'
say position en-us+m3 175 40 'Nine one one, what is your emergency?'
say fallback en-us+f2 172 45 'Nine one one, I have you. Help is on the way to twelve forty Oak Street. Stay low.'

# The scenarios for SIPp are copied to other machines as a folder: they have
# their own copy.
cp caller.ulaw ../../../../configs/sipp/
ls -l ./*.ulaw
