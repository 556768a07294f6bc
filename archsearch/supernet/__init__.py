"""Weight-sharing supernets: one network that holds the weights of a whole space.

Any member of the space is a view of the shared tensors (``weights.Supernet``), which follow the
labelled axes of the operators (``layout.Layout``). Members take turns in training by a rule
(``rules``, ``training.SupernetTraining``), and are judged without any of their own
(``score.Scorer``).
"""
