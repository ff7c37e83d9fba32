package recorder

func childMain() bool { return false }
