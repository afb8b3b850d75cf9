package move_test

import "os"

const childVariable = "STRATA_MOVE_CHILD"

func child() int { return len(os.Args) }
