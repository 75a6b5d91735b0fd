"""What an installation of IMC needs: computed from measured costs, or simulated app by app."""
