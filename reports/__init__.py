"""The verdict: records go in, a comparison, its pictures and a report come out.

`reports.publish.publish` writes a report; `reports.illustrate.illustrate` draws the pictures of
one run. Nothing here knows Keras, MLflow or Optuna.
"""
