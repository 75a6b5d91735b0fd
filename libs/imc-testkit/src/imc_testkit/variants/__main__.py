"""Run a console script of IMC with variants applied."""

import sys

from imc_testkit.variants import apply, main_of

if __name__ == "__main__":
    _, names, script = sys.argv
    main = main_of(script)
    apply(names)
    sys.argv = [script]
    main()
