package filter_test

import (
	"testing"

	"github.com/stratakit/strata/internal/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }
