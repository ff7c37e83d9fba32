package config

import "holdline/policy/source"

// Problem is one thing that is wrong with a configuration file, and where.
type Problem = source.Problem

// Problems is the error of a configuration: everything that is wrong with it,
// in the order of the file, and then with the policy that it names.
type Problems = source.Problems

func didYouMean(word string, candidates []string) string { return source.DidYouMean(word, candidates) }

func quote(s string) string { return source.Quote(s) }
