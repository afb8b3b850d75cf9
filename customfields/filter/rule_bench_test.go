package filter_test

import (
	"testing"

	"github.com/stratakit/strata/customfields/filter"
)

const kept = `status == "active" && fields.tier in ["gold", "silver"] && (fields.size > 50 || "vip" in fields.tags) && !email.endsWith(".gov")`

func BenchmarkToRule(b *testing.B) {
	for b.Loop() {
		if _, err := filter.ToRule(kept); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFromRule(b *testing.B) {
	r, err := filter.ToRule(kept)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := filter.FromRule(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRenameField(b *testing.B) {
	for b.Loop() {
		if _, err := filter.RenameField(kept, "tier", "level"); err != nil {
			b.Fatal(err)
		}
	}
}
